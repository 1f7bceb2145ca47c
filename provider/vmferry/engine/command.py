# SPDX-License-Identifier: Apache-2.0
"""The engine's own command line, made for programs: JSON in, JSON out. People use ``vmferry``.

::

    job start DIR    spec and secrets on standard input; the job runs on after we end
    job run DIR      the same, in this process; a JSON line at its begin and one at its end
    job poll DIR     how is it
    job cancel DIR   ask it to stop
    job rate DIR N   bytes per second from now on; none lifts the limit
    job list ROOT    all jobs below a directory
    job forget DIR   remove one that does not run
    job read DIR NAME   a file of the job (its log, its proof), as it is
    version

Standard input is one JSON object ``{"spec": {...}, "secrets": {...}}``. An error is printed as ``{"error": {...}}``.
Exit codes: 0 fine, 1 a verdict against, 2 bad input, 3 failed and trying again may help, 4 no space, 5 busy,
130 cancelled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vmferry
from vmferry.engine.errors import (
    BadInput,
    Cancelled,
    EngineError,
    JobBusy,
    NoSpace,
    NotADiskImage,
    ProofError,
    RefusedImage,
    Retry,
    SourceChanged,
    TargetInUse,
    Unreadable,
)
from vmferry.engine.jobs import JobDirectory, JobError, JobSpec, JobState, control, ending, status
from vmferry.engine.jobs.submission import claim
from vmferry.engine.units import parse_bytes

_CODES: tuple[tuple[type[EngineError], int], ...] = (
    (Cancelled, 130),
    (NoSpace, 4),
    (JobBusy, 5),
    (TargetInUse, 5),
    (RefusedImage, 1),
    (NotADiskImage, 1),
    (ProofError, 1),
    (SourceChanged, 1),
    (BadInput, 2),
)
"""The first that fits counts."""


def exit_code(error: EngineError) -> int:
    """Give the exit code that stands for an error, here and in every other command."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return 2 if error.retry is Retry.NEVER else 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except EngineError as error:
        _print({"error": JobError.from_exception(error).to_json()})
        return exit_code(error)
    except OSError as error:
        _print({"error": JobError.from_exception(error).to_json()})
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vmferry-engine", description="vmferry's engine, for programs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("version", help="what this is").set_defaults(run=_version)
    job = commands.add_parser("job", help="start, watch and steer jobs").add_subparsers(required=True, metavar="WHAT")
    start = _add(job, "start", _start, "DIR", help="see to it that a job runs, on its own")
    run = _add(job, "run", _run, "DIR", help="run a job here")
    run.add_argument("--die-with-parent", type=int, metavar="PID", help="end when this process, our parent, does")
    for one in (start, run):
        one.add_argument("--not-again", dest="again", action="store_false", help="leave a job that ended as it is")
    _add(job, "poll", _poll, "DIR", help="how is it")
    _add(job, "cancel", _cancel, "DIR", help="ask it to stop")
    _add(job, "rate", _rate, "DIR", "BYTES", help="bytes per second from now on, or none")
    _add(job, "list", _list, "ROOT", help="all jobs below a directory")
    _add(job, "forget", _forget, "DIR", help="remove one that does not run")
    _add(job, "read", _read, "DIR", "NAME", help="a file of the job, as it is")
    return parser


def _add(job: Any, name: str, run: Any, *arguments: str, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = job.add_parser(name, help=help)
    for argument in arguments:
        parser.add_argument(argument.lower(), metavar=argument)
    parser.set_defaults(run=run)
    return parser


def _print(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, sort_keys=True), flush=True)


def _version(args: argparse.Namespace) -> int:
    _print({"version": vmferry.__version__, "python": ".".join(map(str, sys.version_info[:3]))})
    return 0


# What only a job needs is imported where it is used: a host is polled far more often than it starts a job, and in a
# zipapp every import compiles.


def _start(args: argparse.Namespace) -> int:
    from vmferry.engine.jobs.detach import run_detached

    spec, secrets = _read_request()
    directory = JobDirectory(Path(args.dir))
    found, lock = claim(directory, spec, again=args.again)
    if lock is not None:
        run_detached(directory, spec, secrets, lock)
        found = status.poll(directory)
    _print(found.to_json())
    return 0


def _run(args: argparse.Namespace) -> int:
    from vmferry.engine.jobs.parent import die_with_parent
    from vmferry.engine.jobs.run import JobRun

    if args.die_with_parent:
        die_with_parent(args.die_with_parent)
    spec, secrets = _read_request()
    directory = JobDirectory(Path(args.dir))
    found, lock = claim(directory, spec, again=args.again)
    if lock is None:
        _print(found.to_json())
        return _code_of(found)
    job = JobRun(directory, spec, secrets)
    _print(status.poll(directory).to_json())
    out = os.dup(1)
    job.redirect_output()
    job.run()
    lock.release()
    ended = status.poll(directory)
    with contextlib.suppress(BrokenPipeError), os.fdopen(out, "w") as stdout:
        print(json.dumps(ended.to_json(), sort_keys=True), file=stdout, flush=True)
    return _code_of(ended)


def _code_of(found: status.JobStatus) -> int:
    error = found.error()
    return exit_code(error) if error else 0


def _read_request() -> tuple[JobSpec, dict[str, str]]:
    from vmferry.engine.jobs.params import check_params

    try:
        raw = json.load(sys.stdin)
        secrets = raw.get("secrets") or {}
        texts = {str(name): str(value) for name, value in secrets.items()}
        spec = JobSpec.from_json(raw.get("spec"))
    except (ValueError, AttributeError):
        # Not chained: the text of a JSON error can quote what was read, secrets included.
        raise BadInput("standard input is not {spec, secrets} as JSON", fix="see docs/jobs.md") from None
    check_params(spec)
    return spec, texts


def _poll(args: argparse.Namespace) -> int:
    _print(status.poll(JobDirectory(Path(args.dir))).to_json())
    return 0


def _cancel(args: argparse.Namespace) -> int:
    _print(ending.cancel(JobDirectory(Path(args.dir))).to_json())
    return 0


def _rate(args: argparse.Namespace) -> int:
    directory = JobDirectory(Path(args.dir))
    found = status.poll(directory)
    if found.state is JobState.ABSENT:
        raise Unreadable(f"there is no job in {directory.path}", fix="see which there are with: job list")
    rate = None if args.bytes.lower() in ("none", "0") else parse_bytes(args.bytes, field="rate")
    control.set_rate(directory, rate)
    _print(found.to_json())
    return 0


def _list(args: argparse.Namespace) -> int:
    _print({"jobs": [found.to_json() for found in status.list_jobs(Path(args.root))]})
    return 0


def _forget(args: argparse.Namespace) -> int:
    directory = JobDirectory(Path(args.dir))
    ending.forget(directory)
    _print(status.poll(directory).to_json())
    return 0


def _read(args: argparse.Namespace) -> int:
    path = Path(args.dir) / args.name
    if Path(args.name).name != args.name or not path.is_file():
        raise Unreadable(f"{path} is no file of a job", fix="ask for log, journal or the name of its proof")
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.flush()
    return 0
