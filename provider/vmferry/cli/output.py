# SPDX-License-Identifier: Apache-2.0
"""What commands print: results on standard output (text or JSON), everything else on standard error."""

from __future__ import annotations

import errno
import functools
import inspect
import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, ParamSpec

import click

from vmferry.cli.exits import exit_for
from vmferry.engine.errors import EngineError

P = ParamSpec("P")
_FIXES = {
    errno.EACCES: "check the owner and the mode, or run as another user",
    errno.EPERM: "check the owner and the mode, or run as another user",
    errno.EROFS: "mount it writable, or name another place",
}


class Output:
    """Where a command's answer goes; `as_json` is the user's --json."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, value: Any, text: str | Iterable[str]) -> None:
        """Print the answer, in the form that was asked for."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, sort_keys=True))
            return
        for line in [text] if isinstance(text, str) else text:
            click.echo(line)

    def note(self, text: str) -> None:
        """Tell something beside the answer."""
        click.echo(text, err=True)

    def fail(self, error: BaseException) -> NoReturn:
        """Print one clear error and leave with its exit code."""
        what, fix = _words(error)
        if self.as_json:
            echo_error(type(error).__name__, what, fix)
        click.echo(f"vmferry: {what}" + (f"\n  to mend it: {fix}" if fix else ""), err=True)
        sys.exit(exit_for(error))


def echo_error(kind: str, what: str, fix: str) -> None:
    """Print an error as the JSON that was asked for."""
    click.echo(json.dumps({"error": {"kind": kind, "what": what, "fix": fix}}, indent=2, sort_keys=True))


def command(
    group: click.Group, name: str, *, example: str, more: str = ""
) -> Callable[[Callable[P, None]], click.Command]:
    """Declare a command: adds --json, an example in its help, and the border where errors become messages.

    The function gets `out: Output` first; its docstring and `more` are the help.
    """

    def declare(function: Callable[P, None]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, as_json: bool, **kwargs: Any) -> None:
            out = Output(as_json)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                function(out, *args, **kwargs)  # type: ignore[arg-type]
            except (EngineError, OSError, KeyboardInterrupt) as error:
                out.fail(error)
            except Exception as error:  # noqa: BLE001 - the border of the process: 1 would be a verdict, and JSON is due
                traceback.print_exc()
                out.fail(error)

        with_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(run)
        lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
        text = "\n\n".join(filter(None, (inspect.cleandoc(function.__doc__ or ""), more)))
        return group.command(name, help=text, epilog=f"\b\nExample:\n{lines}")(with_json)

    return declare


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay rows out in columns."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _words(error: BaseException) -> tuple[str, str]:
    if isinstance(error, EngineError):
        return error.what, error.fix
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", _FIXES.get(error.errno or 0, "")
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "the same command goes on where it stopped"
    return f"a fault of vmferry itself: {type(error).__name__}: {error}", "report it with the lines above"
