# SPDX-License-Identifier: Apache-2.0
"""Values as Python source. The only way a value gets into a rendered DAG file, so a name cannot break out of one."""

from __future__ import annotations

from typing import Any

from vmferry.policy.errors import BrokenTemplate


class PythonSource(str):
    """Text that is safe to stand in a Python file."""

    __slots__ = ()


def as_python(value: Any) -> PythonSource:
    """Write plain JSON values as a Python literal in ASCII; a list has one element a line, so that diffs are small."""
    if isinstance(value, list | tuple) and value:
        lines = "".join(f"    {_literal(one)},\n" for one in value)
        return PythonSource(f"[\n{lines}]")
    return PythonSource(_literal(value))


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return ascii(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(one)}' for key, one in value.items())}}}"
    fix = "give the template plain values: text, numbers, lists, objects"
    raise BrokenTemplate(f"a {type(value).__name__} cannot be written into a DAG file", fix=fix)


def require_source(value: object) -> object:
    """Let only `PythonSource` and whole numbers into the output; Jinja calls it for each ``{{ … }}``."""
    if isinstance(value, PythonSource) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    fix = "write {{ value | py }}"
    raise BrokenTemplate(f"the template puts a {type(value).__name__} into the file without quoting it", fix=fix)
