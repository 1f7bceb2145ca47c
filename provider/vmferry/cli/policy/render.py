# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy render``."""

from __future__ import annotations

from pathlib import Path

import click

from vmferry.cli.output import Output, command
from vmferry.cli.policy.group import file_argument, policy


@command(
    policy,
    "render",
    example="vmferry policy render variables.json --template dag_templates/backup.py.j2 --to dags/rendered",
)
@file_argument
@click.option("--template", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The DAG template.")
@click.option(
    "--to", "directory", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where DAGs go."
)
@click.option("--shard-size", type=click.IntRange(1), default=100, show_default=True, help="VMs in one file.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; change nothing.")
def render_command(out: Output, file: Path, template: Path, directory: Path, shard_size: int, dry_run: bool) -> None:
    """Make the DAG files of the policy's VMs: only what changed is written, files of removed VMs go away."""
    from vmferry.policy.load import load
    from vmferry.policy.render import render
    from vmferry.policy.resolve import resolve
    from vmferry.policy.surroundings import template_values

    policy = load(file)
    vms = resolve(policy)
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)
    values = template_values(policy)
    done = render(vms, template, directory, shard_size=shard_size, values=values, dry_run=dry_run)
    value = {"written": done.written, "unchanged": done.unchanged, "removed": done.removed, "put_aside": done.put_aside}
    lines = [
        f"{what.replace('_', ' ')} {name}" for what, names in value.items() for name in names if what != "unchanged"
    ]
    counts = ", ".join(f"{len(names)} {what.replace('_', ' ')}" for what, names in value.items())
    out.result({**value, "dry_run": dry_run}, [*lines, f"{len(vms)} VMs: {counts}"])
