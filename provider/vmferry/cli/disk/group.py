# SPDX-License-Identifier: Apache-2.0
"""The group itself, and the options its commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from vmferry.cli.lazy import LazyGroup

F = TypeVar("F", bound=Callable[..., Any])

LOCATION_HELP = """SRC and DST are a path (its name says the format, or write qcow2:PATH, raw:PATH …), a block device,
nbd://host:port/name, nbd+unix:///name?socket=PATH, nbds:// for TLS, or https://… (read only)."""


@click.group(
    cls=LazyGroup,
    modules={name: f"vmferry.cli.disk.{name}" for name in ("inspect", "proof", "compare", "copy", "fsck")},
)
def disk() -> None:
    """Inspect, prove, compare, copy and check single disks."""


def source_options(function: F) -> F:
    """Add what all commands that read a disk take."""
    for option in (
        click.option("--format", "format_name", metavar="FORMAT", help="Format of SRC: forced, never guessed."),
        click.option("--trust-backing", is_flag=True, help="Read through the backing files that an image names."),
        click.option(
            "--tls-ca", type=click.Path(path_type=Path), help="Authority that signed the server's certificate."
        ),
        click.option(
            "--no-tls-verify", is_flag=True, help="Trust any certificate of an https SRC. Logged as a warning."
        ),
        click.option("--headers", type=click.File(), help="File with one 'Name: value' a line, - for standard input."),
        click.option(
            "--workers", type=click.IntRange(1, 64), help="Parallel connections; by default 4, and 8 to an object."
        ),
    ):
        function = option(function)
    return function
