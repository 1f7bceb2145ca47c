# SPDX-License-Identifier: Apache-2.0
"""A JSON text that knows where each of its values stands, so that findings can name a line and an edit can be small."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from vmferry.policy.findings import Finding, Place, error

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODE = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands in the text; for a member of an object `start` is its key."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Where everything stands."""

    spans: dict[Place, Span] = field(default_factory=dict)
    duplicates: list[tuple[Place, Span]] = field(default_factory=list)
    """Keys that an object has twice; plain JSON parsers silently take the last."""


def parse(text: str) -> tuple[Any, list[Finding]]:
    """Read JSON. Text that is no JSON, or that has a key twice, gives findings (and no value in the first case)."""
    doubled = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        made = dict(pairs)
        doubled = doubled or len(made) != len(pairs)
        return made

    try:
        value = json.loads(text, object_pairs_hook=build, parse_constant=_refuse_constant)
        return value, _name_duplicates(text) if doubled else []
    except json.JSONDecodeError as failure:
        return None, [_explain(failure)]
    except RecursionError:
        return None, [error((), "the file is nested too deeply", "no policy needs more than a few levels")]
    except ValueError as failure:
        return None, [error((), str(failure), "write numbers as plain digits")]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _explain(failure: json.JSONDecodeError) -> Finding:
    rest = failure.doc[failure.pos : failure.pos + 2]
    fix = "look at this line and the one before: a comma, quote or bracket is missing or too much"
    if rest in {"//", "/*"} or rest[:1] == "#":
        fix = 'JSON has no comments; use a member whose key begins with "//" instead'
    found = error((), f"not valid JSON at column {failure.colno}: {failure.msg}", fix)
    return Finding(found.severity, (), found.message, found.fix, failure.lineno)


def _name_duplicates(text: str) -> list[Finding]:
    return [
        Finding(one.severity, one.place, one.message, one.fix, line_at(text, span.start))
        for place, span in locate(text).duplicates
        for one in [_describe_duplicate(place)]
    ]


def _describe_duplicate(place: Place) -> Finding:
    thing = "the VM" if len(place) == 2 and place[0] == "vms_config" else "the key"
    return error(place, f"{thing} {str(place[-1])!r} is there twice", "keep one of the two")


def locate(text: str) -> Positions:
    """Find where each value stands. The text must be valid JSON (see `parse`)."""
    positions = Positions()
    _walk_value(text, 0, (), positions)
    return positions


def line_at(text: str, offset: int) -> int:
    """Give the line, counted from 1, of a place in the text."""
    return text.count("\n", 0, offset) + 1


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _walk_value(text: str, at: int, place: Place, found: Positions) -> int:
    at = _skip_space(text, at)
    if text[at] == "{":
        end = _walk_object(text, at, place, found)
    elif text[at] == "[":
        end = _walk_array(text, at, place, found)
    else:
        _, end = _DECODE(text, at)
    found.spans.setdefault(place, Span(at, end))
    return end


def _walk_object(text: str, at: int, place: Place, found: Positions) -> int:
    at = _skip_space(text, at + 1)
    while text[at] != "}":
        start = at
        key, at = _DECODE(text, start)
        at = _skip_space(text, at) + 1  # the colon
        inner = (*place, key)
        if inner in found.spans:
            found.duplicates.append((inner, Span(start, at)))
            for known in [one for one in found.spans if one[: len(inner)] == inner]:
                del found.spans[known]
        end = _walk_value(text, at, inner, found)
        found.spans[inner] = Span(start, end)
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return at + 1


def _walk_array(text: str, at: int, place: Place, found: Positions) -> int:
    at, index = _skip_space(text, at + 1), 0
    while text[at] != "]":
        at = _skip_space(text, _walk_value(text, at, (*place, index), found))
        index += 1
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return at + 1
