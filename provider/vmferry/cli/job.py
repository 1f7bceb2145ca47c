# SPDX-License-Identifier: Apache-2.0
"""``vmferry job``: look at copies that run or were interrupted, change their rate, stop them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vmferry.cli.bar import read_status
from vmferry.cli.output import Output, command, table
from vmferry.engine.units import parse_rate


@click.group()
def job() -> None:
    """Look at running and interrupted jobs, change their rate, stop or forget them."""


_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@command(job, "ls", example="vmferry job ls\nvmferry job ls /srv/jobs --json")
@click.argument("root", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
def ls_command(out: Output, root: Path | None) -> None:
    """List the jobs below DIR, by default those of copies that were given no --job directory."""
    from vmferry.cli.runs import state_dir
    from vmferry.engine.jobs import list_jobs

    root = root or state_dir()
    jobs = list(list_jobs(root)) if root.is_dir() else []
    rows = [(one.state.value, one.kind, _progress(one.progress), root / one.id) for one in jobs]
    out.result(
        [one.to_json() for one in jobs], table(("STATE", "KIND", "DONE", "DIRECTORY"), rows) if rows else "no jobs"
    )


@command(job, "show", example="vmferry job show ~/.local/state/vmferry/jobs/copy-a.qcow2-1f00b4")
@_directory
def show_command(out: Output, directory: Path) -> None:
    """Say how far the job in DIR is, or how it ended."""
    from vmferry.engine.jobs import JobDirectory, JobState, poll

    status = poll(JobDirectory(directory.absolute()))
    error = status.error()
    if error is not None and status.state is JobState.ABSENT:
        raise error
    lines = [f"{status.id}: {status.state.value}", f"  done      {_progress(status.progress)}"]
    lines += [f"  attempts  {status.attempts}"] if status.attempts else []
    lines += [f"  process   {status.pid}"] if status.pid else []
    lines += [f"  error     {error}"] if error else []
    out.result(status.to_json(), lines)


@command(job, "rate", example="vmferry job rate /srv/jobs/web01 20MiB\nvmferry job rate /srv/jobs/web01 none")
@_directory
@click.argument("rate", metavar="BYTES_A_SECOND")
def rate_command(out: Output, directory: Path, rate: str) -> None:
    """Change how fast the job in DIR may go while it runs; `none` lifts the limit."""
    from vmferry.engine.jobs import JobDirectory, JobState, poll, set_rate

    home = JobDirectory(directory.absolute())
    status = poll(home)
    if status.state is JobState.ABSENT:
        error = status.error()
        assert error is not None  # noqa: S101 - an absent job always has one
        raise error
    wanted = None if rate == "none" else parse_rate(rate, field="BYTES_A_SECOND")
    set_rate(home, wanted)
    out.result({"id": status.id, "bytes_per_s": wanted}, f"{status.id}: {rate} a second from now on")


@command(job, "cancel", example="vmferry job cancel /srv/jobs/web01")
@_directory
def cancel_command(out: Output, directory: Path) -> None:
    """Ask the job in DIR to stop; its journal is kept, and the same command goes on from there."""
    from vmferry.engine.jobs import JobDirectory, cancel

    status = cancel(JobDirectory(directory.absolute()))
    out.result(status.to_json(), f"{status.id}: {status.state.value}")


@command(job, "forget", example="vmferry job forget ~/.local/state/vmferry/jobs/copy-a.qcow2-1f00b4")
@_directory
def forget_command(out: Output, directory: Path) -> None:
    """Remove the job in DIR with its journal; what it copied stays, but a new copy begins at the start."""
    from vmferry.engine.jobs import JobDirectory, JobState, forget, poll

    home = JobDirectory(directory.absolute())
    status = poll(home)
    if status.state is JobState.ABSENT and (error := status.error()) is not None:
        raise error
    forget(home)
    out.result({"id": directory.name, "forgotten": True}, f"{directory.name}: forgotten")


def _progress(progress: Any) -> str:
    status = read_status(progress)
    return status.line() if status else "-"
