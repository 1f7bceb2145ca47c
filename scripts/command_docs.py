"""Writes a page in docs/commands for every command of vmferry, from its own help; `--check` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from vmferry.cli import main as program

PAGES = Path(__file__).resolve().parent.parent / "docs" / "commands"
WIDTH = 110


def pages() -> dict[str, str]:
    """Give every page's name and text."""
    made = {}
    rows = []
    for path, command, context in _walk(program, click.Context(program, info_name="vmferry", max_content_width=WIDTH)):
        name = "-".join(path[1:]) + ".md"
        title = " ".join(path)
        made[name] = f"# {title}\n\n```text\n{_help(command, context)}\n```\n"
        rows.append(f"| [`{title}`]({name}) | {command.get_short_help_str(200)} |")
    made["README.md"] = _index(rows)
    return made


def _walk(
    command: click.Command, context: click.Context, path: tuple[str, ...] = ("vmferry",)
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    if not isinstance(command, click.Group):
        yield path, command, context
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None:
            inner = click.Context(found, parent=context, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
            yield from _walk(found, inner, (*path, name))


def _help(command: click.Command, context: click.Context) -> str:
    lines = command.get_help(context).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _index(rows: list[str]) -> str:
    head = "# Commands\n\nEvery command takes `--json` and `--help`; exit codes are in `vmferry --help`.\n"
    return f"{head}\n| command | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"


def main() -> None:
    """Write the pages, or say which are not current."""
    made = pages()
    if "--check" in sys.argv:
        old = {path.name: path.read_text() for path in PAGES.glob("*.md")}
        stale = sorted(name for name in {*old, *made} if old.get(name) != made.get(name))
        sys.exit(f"docs/commands is not current: {', '.join(stale)}; run: make docs" if stale else 0)
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in PAGES.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text)


if __name__ == "__main__":
    main()
