"""Fails on Python files of more than 400 lines and functions of more than 40.

Aim for 150 and 12: what fits on a screen is read. A function's lines are counted without its decorators
and docstring, since neither a command's options nor an explanation makes it harder to follow.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.tree import list_files

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def count_lines(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def find_faults(path: Path, shown: str) -> Iterator[str]:
    """One line per file or function that is too long."""
    text = path.read_text()
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{shown}:1: {lines} lines, at most {MAX_FILE_LINES}: split it by what its parts are for"
    for node in ast.walk(ast.parse(text, shown)):
        if isinstance(node, Function) and (length := count_lines(node)) > MAX_FUNCTION_LINES:
            yield f"{shown}:{node.lineno}: {node.name}() has {length} lines, at most {MAX_FUNCTION_LINES}"


def main() -> int:
    """Check every Python file of the repository we are in."""
    root = Path.cwd()
    files = list_files(root, "*.py")
    faults = [fault for path in files for fault in find_faults(path, str(path.relative_to(root)))]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
