# SPDX-License-Identifier: Apache-2.0
"""The program: its groups, its version, its completion."""

from __future__ import annotations

from typing import Any

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


class Program(LazyGroup):
    """All commands; with --json, words that do not fit together are an error in JSON too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember what was asked for: when a command cannot be parsed, nobody else knows."""
        ctx.meta[__name__] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.meta[__name__]:
                from vmferry.cli.output import echo_error

                path = error.ctx.command_path if error.ctx else "vmferry"
                echo_error(type(error).__name__, error.format_message(), f"see {path} --help")
            raise


@click.group(
    cls=Program,
    modules={name: f"vmferry.cli.{name}" for name in ("disk", "vault", "vm", "site", "policy", "job", "completion")},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EXITS,
)
@click.version_option(__version__, prog_name="vmferry")
def main() -> None:
    """Back up, restore, migrate and import virtual machines' disks, with proof."""
