# SPDX-License-Identifier: Apache-2.0
"""The event that Object Storage sends when an object is made or changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from upload_event.errors import BadEvent

_KINDS = ("createobject", "updateobject")
_FAMILY = "com.oraclecloud.objectstorage."
_FIX = "bind the rule to Object Storage's events only"


@dataclass(frozen=True, slots=True)
class Upload:
    """Which object was uploaded."""

    namespace: str
    bucket: str
    name: str


def read_event(body: bytes) -> Upload | None:
    """Read an event; None when it is one that means no upload."""
    event = _parse(body)
    kind = event.get("eventType")
    if not isinstance(kind, str) or not kind.startswith(_FAMILY):
        raise BadEvent(f"an event of type {kind!r:.80}", fix=_FIX)
    if kind.removeprefix(_FAMILY) not in _KINDS:
        return None
    data = event.get("data")
    details = data.get("additionalDetails") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(details, dict):
        raise BadEvent("an event without data.additionalDetails", fix=_FIX)
    if details.get("archivalState", "Available") != "Available":
        return None  # an archived object cannot be read
    return Upload(_text(details, "namespace"), _text(details, "bucketName"), _text(data, "resourceName"))


def _parse(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:  # JSONDecodeError and UnicodeDecodeError
        event = None
    if not isinstance(event, dict):
        raise BadEvent("the body is no JSON object", fix=_FIX)
    return event


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise BadEvent(f"an event without {name}", fix=_FIX)
    return value
