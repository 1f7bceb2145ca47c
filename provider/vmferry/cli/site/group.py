# SPDX-License-Identifier: Apache-2.0
"""The group itself, and how a run is judged to be dead."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import click

from vmferry.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup, modules={name: f"vmferry.cli.site.{name}" for name in ("ls", "check", "leftovers", "sweep")}
)
def site() -> None:
    """Look whether a site can be worked with, and give back what dead runs left there."""


dead_option = click.option(
    "--dead", "patterns", metavar="RUN", multiple=True,
    help="This run is dead (* and ? fit anything): a person's word, e.g. for DAG runs of an Airflow that is gone.",
)  # fmt: skip


def judge(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Say which runs are dead: those a person names, and this user's own on this machine whose process is gone.

    One that is alive is alive, whatever a person says.
    """
    from vmferry.cli import record

    def is_dead(owner: str) -> bool:
        if record.find_record(owner) is not None or record.is_dead(owner):
            return record.is_dead(owner)
        return any(fnmatch.fnmatchcase(owner, pattern) for pattern in patterns)

    return is_dead
