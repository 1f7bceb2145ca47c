# SPDX-License-Identifier: Apache-2.0
"""Read LVM's text metadata: sections, numbers, strings and lists."""

from __future__ import annotations

import re
from typing import Union

Value = Union[int, float, str, list["Value"], "Section"]
Section = dict[str, "Value"]

_TOKEN = re.compile(r'\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|[\w.+@/-]+|[{}\[\]=,]')


class BadMetadata(ValueError):
    """Text that is no LVM metadata."""


def parse_metadata(text: str) -> Section:
    """Turn the text into nested dictionaries; raises `BadMetadata`."""
    tokens = _tokenize(text)
    section, at = _section(tokens, 0, depth=0)
    if at != len(tokens):
        raise BadMetadata("unbalanced braces")
    return section


def section_of(value: Section, key: str) -> Section:
    """Get a sub-section; empty when it is not there."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def number_of(value: Section, key: str) -> int:
    """Get a number; raises `BadMetadata` when it is not there."""
    found = value.get(key)
    if not isinstance(found, int):
        raise BadMetadata(f"{key} is missing")
    return found


def list_of(value: Section, key: str) -> list[Value]:
    """Get a list; empty when it is not there."""
    found = value.get(key)
    return found if isinstance(found, list) else []


def _tokenize(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadMetadata(f"strange character {text[at]!r}")
        at = match.end()
        token = match.group()
        if not token[0].isspace() and token[0] != "#":
            tokens.append(token)
    return tokens


def _section(tokens: list[str], at: int, depth: int) -> tuple[Section, int]:
    if depth > 16:
        raise BadMetadata("too deep")
    found: Section = {}
    while at < len(tokens) and tokens[at] != "}":
        name = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if following == "{":
            found[name], at = _section(tokens, at + 2, depth + 1)
            if at >= len(tokens):
                raise BadMetadata("unbalanced braces")
            at += 1
        elif following == "=":
            found[name], at = _value(tokens, at + 2)
        else:
            raise BadMetadata(f"{name!r} stands alone")
    return found, at


def _value(tokens: list[str], at: int) -> tuple[Value, int]:
    if at >= len(tokens):
        raise BadMetadata("a value is missing")
    if tokens[at] != "[":
        return _scalar(tokens[at]), at + 1
    items: list[Value] = []
    at += 1
    while at < len(tokens) and tokens[at] != "]":
        if tokens[at] != ",":
            items.append(_scalar(tokens[at]))
        at += 1
    return items, at + 1


def _scalar(token: str) -> Value:
    if token.startswith('"'):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    try:
        return int(token)
    except ValueError:
        pass
    try:
        return float(token)
    except ValueError:
        raise BadMetadata(f"{token!r} is no value") from None
