"""The engine's search language, as far as tools use it: `name=web* and status=up or tag=daily sortby name page 2`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from lab.ovirt.router import Refusal

T = TypeVar("T")
Fields = Callable[[T], dict[str, Any]]
PAGE_SIZE = 100

_TERM = re.compile(r'^\s*([\w.]+)\s*(!=|=|>=|<=|>|<)\s*("[^"]*"|\'[^\']*\'|\S+)\s*$')
_TAIL = re.compile(r"\s*\b(?:sortby\s+(?P<sort>[\w.]+)(?:\s+(?P<order>asc|desc))?|page\s+(?P<page>\d+))\s*$", re.I)


def search(items: Iterable[T], fields: Fields[T], query: dict[str, str]) -> list[T]:
    """Choose by the query parameters `search`, `case_sensitive` and `max`."""
    text, sort, descending, page = _split(query.get("search", ""))
    is_exact = query.get("case_sensitive", "").lower() == "true"
    found = [item for item in items if not text or _matches(text, fields(item), is_exact)]
    if sort:
        found.sort(key=lambda item: str(fields(item).get(sort, "")), reverse=descending)
    if page:
        found = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    limit = int(query.get("max", "-1") or "-1")
    return found[:limit] if limit >= 0 else found


def _split(text: str) -> tuple[str, str | None, bool, int]:
    sort, descending, page = None, False, 0
    while match := _TAIL.search(text):
        text = text[: match.start()]
        if match["page"]:
            page = int(match["page"])
        else:
            sort, descending = match["sort"].lower(), (match["order"] or "").lower() == "desc"
    return text.strip(), sort, descending, page


def _matches(text: str, facts: dict[str, Any], is_exact: bool) -> bool:
    return any(
        all(_term(term, facts, is_exact) for term in re.split(r"\s+and\s+", part, flags=re.I))
        for part in re.split(r"\s+or\s+", text, flags=re.I)
    )


def _term(term: str, facts: dict[str, Any], is_exact: bool) -> bool:
    match = _TERM.match(term)
    if match is None:
        if re.search(r"[=<>]", term):
            raise Refusal(400, f"[The search is not valid: {term}]")
        wish = term.strip().strip("\"'")
        return any(_same(f"*{wish}*", one, is_exact) for value in facts.values() for one in _values(value))
    name, operator, wish = match[1].lower(), match[2], match[3].strip("\"'")
    if name not in facts:
        raise Refusal(400, f"[The search is not valid: there is no field {name}]")
    holds = any(_compare(one, operator, wish, is_exact) for one in _values(facts[name]))
    return not holds if operator == "!=" else holds


def _compare(value: str, operator: str, wish: str, is_exact: bool) -> bool:
    if operator in ("=", "!="):
        return _same(wish, value, is_exact)
    numbers = float(value), float(wish)
    return {">": numbers[0] > numbers[1], "<": numbers[0] < numbers[1]}.get(operator[0], False) or (
        len(operator) == 2 and numbers[0] == numbers[1]
    )


def _values(value: Any) -> Sequence[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _same(pattern: str, value: str, is_exact: bool) -> bool:
    pattern = re.sub(r"[\[\]?]", lambda found: f"[{found[0]}]", pattern)  # only * is special to the engine
    if not is_exact:
        pattern, value = pattern.lower(), value.lower()
    return fnmatch.fnmatchcase(value, pattern)
