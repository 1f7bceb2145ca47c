# SPDX-License-Identifier: Apache-2.0
"""Reads ``variables.json``: gives the checked policy, or everything that is wrong with it at once."""

from __future__ import annotations

import bisect
import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from vmferry.policy.check import check
from vmferry.policy.document import locate, parse
from vmferry.policy.errors import BadValue, InvalidPolicy, PolicyError
from vmferry.policy.findings import Finding, Place, error
from vmferry.policy.models.policy import Policy

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_COMMENT = "//"


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a policy."""

    policy: Policy | None
    """None when there are errors in its form; with errors in its meaning it is there, to be looked at."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Tell whether the policy can be used; warnings do not count."""
        return self.policy is not None and not any(one.is_error for one in self.findings)


def load(path: Path) -> Policy:
    """Read and check a policy file; raises `InvalidPolicy` with every error."""
    reading = read_file(path)
    if reading.policy is None or not reading.ok:
        raise InvalidPolicy(reading.findings, source=str(path))
    return reading.policy


def read_file(path: Path) -> Reading:
    """Read a policy file and say all there is to say about it."""
    try:
        raw = path.read_bytes()
    except OSError as failure:
        raise PolicyError(f"cannot read {path}: {failure.strerror}", fix="name the file of the policy") from failure
    try:
        return read_text(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as failure:
        line = raw.count(b"\n", 0, failure.start) + 1
        return Reading(None, (error((), f"line {line} is not UTF-8", "save the file again as UTF-8"),))


def read_text(text: str) -> Reading:
    """Read a policy and say all there is to say about it."""
    value, findings = parse(text)
    if value is None and findings:
        return Reading(None, tuple(findings))
    if not isinstance(value, dict):
        fix = "begin with {, as in variables.example.json"
        return Reading(None, (error((), "the policy is not a JSON object", fix),))
    value = _without_comments(value)
    policy, wrong = validate(value)
    findings += wrong
    whole = policy or _validate_rest(value, wrong)
    if whole is not None:
        findings += check(whole)
    return Reading(policy, _in_order(text, findings))


def validate(value: dict[str, Any]) -> tuple[Policy | None, list[Finding]]:
    """Turn JSON values into a policy, or into findings about their form."""
    known: dict[int, tuple[str, ...]] = {}
    try:
        return Policy.model_validate(value, context=known), []
    except ValidationError as failure:
        return None, [_explain(one, value, known) for one in failure.errors(include_url=False)]


_SEVERABLE = frozenset({"vms_config", "migrations", "imports", "bucket_migrations"})
"""Sections whose entries nothing else refers to: without a broken one the rest still means the same."""


def _validate_rest(value: dict[str, Any], wrong: Sequence[Finding]) -> Policy | None:
    """Leave the broken entries out, so that errors of meaning in the others are told in the same go."""
    rest = dict(value)
    for place in (one.place for one in wrong):
        if len(place) > 1 and place[0] in _SEVERABLE and isinstance(rest[place[0]], dict):
            rest[place[0]] = {key: entry for key, entry in rest[place[0]].items() if key != place[1]}
        elif len(place) == 1 and str(place[0]) not in Policy.model_fields:
            rest.pop(str(place[0]), None)
    return validate(rest)[0]


def _without_comments(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_comments(one) for key, one in value.items() if not key.startswith(_COMMENT)}
    return [_without_comments(one) for one in value] if isinstance(value, list) else value


def _explain(detail: ErrorDetails, value: Any, known: Mapping[int, Sequence[str]]) -> Finding:
    # Tags of a union ("<simple>") and of a key check ("[key]") are pydantic's, not places of the file.
    place: Place = tuple(one for one in detail["loc"] if not (isinstance(one, str) and one[:1] + one[-1:] in _TAG_ENDS))
    if detail["type"] == "extra_forbidden":
        return _explain_unknown_key(place, value, known)
    failure = detail.get("ctx", {}).get("error")
    if isinstance(failure, BadValue):
        return error(place, failure.what, failure.fix)
    message, fix = _WORDS.get(detail["type"], (None, None))
    hidden = any(isinstance(one, str) and "password" in one for one in place)
    context = {"input": "the value" if hidden else _shorten(detail["input"]), **detail.get("ctx", {})}
    if message is None or fix is None:
        return error(place, f"{context['input']}: {detail['msg']}", "correct this value")
    return error(place, message.format(**context), fix.format(**context))


_TAG_ENDS = {"<>", "[]"}
_WORDS = {
    "missing": ("the key is missing", "add it"),
    "bool_parsing": ("{input} is neither true nor false", "write true or false, without quotes"),
    "bool_type": ("{input} is neither true nor false", "write true or false, without quotes"),
    "int_parsing": ("{input} is not a whole number", "write digits only"),
    "int_from_float": ("{input} is not a whole number", "write digits only"),
    "int_type": ("{input} is not a whole number", "write digits only"),
    "greater_than_equal": ("{input} is too small", "use {ge} or more"),
    "less_than_equal": ("{input} is too large", "use {le} or less"),
    "literal_error": ("{input} is not allowed here", "use {expected}"),
    "string_type": ("{input} is not text", "put it in quotes"),
    "string_too_short": ("the text is empty", "write something, or take the key away"),
    "string_too_long": ("the text is too long", "use at most {max_length} letters"),
    "string_pattern_mismatch": ("{input} is not written as it should be", "it must match {pattern}"),
    "dict_type": ("{input} is not an object", "write {{…}}"),
    "list_type": ("{input} is not a list", "write […]"),
    "too_short": ("the list is empty", "give at least {min_length}, or take the key away"),
    "model_type": ("{input} is not an object", "write {{…}}"),
    "model_attributes_type": ("{input} is not an object", "write {{…}}"),
    "schedule_type": (
        "{input} is not a schedule",
        'use an object with "type": simple, hourly, advanced, cron, custom or legacy',
    ),
}


def _explain_unknown_key(place: Place, value: Any, known: Mapping[int, Sequence[str]]) -> Finding:
    owner = value
    for part in place[:-1]:
        owner = owner[part]
    keys = known.get(id(owner), ())
    near = difflib.get_close_matches(str(place[-1]).lower(), keys, n=1, cutoff=0.6)
    fix = f"did you mean {near[0]!r}?" if near else f"known here are {', '.join(sorted(keys))}"
    return error(place, f"unknown key {str(place[-1])!r}", fix)


def _shorten(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else "{…}" if isinstance(value, dict) else "[…]"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _in_order(text: str, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Add line numbers and sort by them."""
    if not findings:
        return ()
    spans = locate(text).spans
    line_ends = [match.start() for match in re.finditer("\n", text)]
    numbered = []
    for one in findings:
        place = one.place
        while place and place not in spans:
            place = place[:-1]
        line = one.line or (bisect.bisect_left(line_ends, spans[place].start) + 1 if place else None)
        numbered.append(dataclasses.replace(one, line=line))
    return tuple(sorted(numbered, key=lambda one: (one.line or 0, one.path)))
