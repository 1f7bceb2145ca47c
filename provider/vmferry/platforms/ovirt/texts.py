# SPDX-License-Identifier: Apache-2.0
"""Small readings of the SDK's objects, whose members may all be missing."""

from __future__ import annotations

from typing import Any


def word(value: Any) -> str:
    """Give an enum of the SDK as the word that is on the wire; empty when there is none."""
    return str(getattr(value, "value", value) or "")


def ident(thing: Any) -> str | None:
    """Give the id of a linked object, if there is one."""
    found = getattr(thing, "id", None)
    return str(found) if found else None


def correlation(owner: object, step: str) -> dict[str, str]:
    """Give the query that lets an engine's admin see whose call it was (at most 50 characters)."""
    digest = getattr(owner, "digest", str(owner))
    return {"correlation_id": f"vmferry-{digest}-{step}"[:50]}
