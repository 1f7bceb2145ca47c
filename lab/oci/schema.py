"""Checks the body of a request against the SDK's own models (schema.json, written by scripts/oci_schema.py)."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from lab.oci.router import Refusal, invalid

_PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "datetime": (str,), "object": (object,),
}  # fmt: skip
MAX_FREEFORM_TAGS, MAX_DEFINED_TAGS, MAX_KEY, MAX_VALUE = 10, 64, 100, 256


@functools.cache
def models() -> dict[str, Any]:
    """Load the models."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text())
    return found


def check_body(model: str, body: dict[str, Any]) -> None:
    """Refuse a body with fields unknown, missing or of the wrong type."""
    _check_model(model, body, "")
    check_tags(body)
    if len(body.get("displayName") or "") > 255:
        raise invalid("displayName size must be between 1 and 255")


def check_tags(body: dict[str, Any]) -> None:
    """Refuse tags beyond the limits."""
    free: dict[str, str] = body.get("freeformTags") or {}
    defined: dict[str, dict[str, Any]] = body.get("definedTags") or {}
    if len(free) > MAX_FREEFORM_TAGS:
        raise invalid(f"freeformTags size must be between 0 and {MAX_FREEFORM_TAGS}, {len(free)} given")
    pairs = list(free.items())
    pairs += [(key, str(value)) for namespace in defined.values() for key, value in namespace.items()]
    if len(pairs) - len(free) > MAX_DEFINED_TAGS:
        raise invalid(f"definedTags size must be between 0 and {MAX_DEFINED_TAGS}")
    for key, value in pairs:
        if not 0 < len(key) <= MAX_KEY:
            raise invalid(f"tag key {key[:20]!r}...: length must be between 1 and {MAX_KEY}")
        if len(value) > MAX_VALUE:
            raise invalid(f"value of tag {key!r}: length must be between 0 and {MAX_VALUE}")


def _check_model(name: str, body: dict[str, Any], where: str) -> None:
    model = models()[name]
    if "subtypes" in model:
        field = model["subtypes"]["field"]
        chosen = model["subtypes"]["names"].get(body.get(field))
        if chosen is None:
            raise invalid(f"{where}{field} must be one of {', '.join(sorted(model['subtypes']['names']))}")
        model = models()[chosen]
    unknown = sorted(set(body) - set(model["fields"]))
    if unknown:
        raise Refusal(400, "CannotParseRequest", f"Unrecognized field {where}{unknown[0]} in {name}")
    for field in model["required"]:
        if body.get(field) is None:
            raise Refusal(400, "MissingParameter", f"{where}{field} must not be null")
    for field, value in body.items():
        if value is not None:
            _check_value(model["fields"][field], value, f"{where}{field}")


def _check_value(kind: str, value: Any, where: str) -> None:
    if kind in _PLAIN:
        if not isinstance(value, _PLAIN[kind]) or (kind in ("int", "float") and isinstance(value, bool)):
            raise Refusal(400, "CannotParseRequest", f"{where}: not a {kind}")
    elif match := re.fullmatch(r"list\[(.+)\]", kind):
        for index, one in enumerate(_expect(list, value, where)):
            _check_value(match.group(1), one, f"{where}[{index}]")
    elif match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        for key, one in _expect(dict, value, where).items():
            _check_value(match.group(1), one, f"{where}.{key}")
    else:
        _check_model(kind, _expect(dict, value, where), f"{where}.")


def _expect(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise Refusal(400, "CannotParseRequest", f"{where}: not a {kind.__name__}")
    return value
