# SPDX-License-Identifier: Apache-2.0
"""The group itself, and the arguments its commands share."""

from __future__ import annotations

from pathlib import Path

import click

from vmferry.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    modules={name: f"vmferry.cli.policy.{name}" for name in ("check", "plan", "render", "secure", "schema")},
)
def policy() -> None:
    """Check a policy (variables.json), foretell what it does, render its DAGs, take passwords out of it."""


file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
