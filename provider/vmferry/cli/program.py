# SPDX-License-Identifier: Apache-2.0
"""The program: its groups, its version, its completion."""

from __future__ import annotations

import click

from vmferry import __version__
from vmferry.cli.lazy import LazyGroup

_EXITS = """\b
Exit codes:
  0  done
  1  looked, and the answer is bad: differs, damaged, refused, corrupt
  2  what was asked cannot be done; nothing was changed
  3  it broke; the same command again goes on where it stopped
  4  the target is full; the same command goes on once there is room
  5  somebody else is at it
  130  stopped on request
"""


@click.group(
    cls=LazyGroup,
    modules={name: f"vmferry.cli.{name}" for name in ("disk", "vault", "policy", "job", "completion")},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EXITS,
)
@click.version_option(__version__, prog_name="vmferry")
def main() -> None:
    """Back up, restore, migrate and import virtual machines' disks, with proof."""
