# SPDX-License-Identifier: Apache-2.0
"""Names and tags of what a run makes: always the same for the same run and part, so that a retry finds it.

Servers, volumes and snapshots carry our words as metadata, images as properties, ports in their description: these are
what all versions of the services keep and show in their lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmferry.platforms.runs import RunId, Tag, parse_tag

TAG = "vmferry"
"""The run, and what state the thing is in."""
PART = "vmferry_part"
"""What it is to the run. No hyphen: glance and cinder take these names everywhere."""
ROOT = "vmferry_root"
"""The root of the bytes that were proven to be in a volume."""
LOAN = "vmferry_loan"
"""At a volume of somebody's server: the run that borrowed it."""
HOME = "vmferry_home"
"""At the same volume: the server that gets it back, the device it was, and what becomes of it with the server."""
MOVED = "vmferry_moved"
"""At a source server: the run that moved it, and where to."""
COMPLETE = "complete"
"""Word of the tag: the run is done with it, and its owner is a person now."""
VERIFIED = "verified"
"""Word of the tag: its bytes are proven."""

_LONGEST = 255


def tags_of(owner: RunId, part: str, *words: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the metadata of one thing."""
    kept = {name: value[:_LONGEST] for name, value in (more or {}).items() if not name.startswith(TAG)}
    return {**kept, TAG: owner.tag(*words), PART: part}


def tag_of(thing: Any) -> Tag | None:
    """Read our tag from a thing of the SDK's; None when it is not ours."""
    return parse_tag(notes_of(thing).get(TAG))


def is_of(thing: Any, owner: RunId, part: str) -> bool:
    """Tell whether this run made this thing, as this part."""
    tag = tag_of(thing)
    return tag is not None and tag.is_of(owner) and notes_of(thing).get(PART) == part


def notes_of(thing: Any) -> dict[str, str]:
    """Give the metadata of a thing; of an image, its properties."""
    return dict(getattr(thing, "metadata", None) or getattr(thing, "properties", None) or {})


def name_of(owner: RunId, part: str) -> str:
    """Name a thing where a person gave no name."""
    return f"vmferry-{part}-{owner.digest}"
