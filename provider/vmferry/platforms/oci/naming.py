# SPDX-License-Identifier: Apache-2.0
"""Names, tags and retry tokens of what a run makes: always the same for the same run, so that a retry finds it.

OCI remembers a retry token for 24 hours and gives the very thing it made at first, dead or alive. So a token counts how
many of that part the run has lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vmferry.platforms.runs import RunId, Tag, parse_tag

TAG = "vmferry"
"""Freeform tag: the run, and what state the thing is in."""
PART = "vmferry-part"
"""Freeform tag: what it is to the run."""
HOST_KEY = "vmferry-host-key"
"""Freeform tag: the worker's SSH host key."""
ROOT = "vmferry-root"
"""Freeform tag: the root of the bytes that were proven to be there."""
ETAG = "vmferry-etag"
"""Freeform tag: the version of the object that a volume was made of."""
OBJECT = "vmferry-object"
"""Freeform tag: bucket and name of that object."""
COMPLETE = "complete"
"""Word of the tag: the run is done with it, and its owner is a person now."""
VERIFIED = "verified"
"""Word of the tag: its bytes are proven."""

_OWN = re.compile(r"^vmferry(-|$)")
_MOST_TOKENS = 20
_KEY_LONGEST, _VALUE_LONGEST = 100, 256
MOST_TAGS = 3
"""Of what people wrote: OCI takes ten free-form tags, and seven of a volume's are ours."""


def tags_of(owner: RunId, part: str, *words: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the tags of one thing."""
    return {**(more or {}), TAG: owner.tag(*words), PART: part}


def tag_of(thing: Any) -> Tag | None:
    """Read our tag from a thing of the SDK's; None when it is not ours."""
    return parse_tag((thing.freeform_tags or {}).get(TAG))


def is_of(thing: Any, owner: RunId, part: str) -> bool:
    """Tell whether this run made this thing, as this part."""
    tag = tag_of(thing)
    return tag is not None and tag.is_of(owner) and (thing.freeform_tags or {}).get(PART) == part


def name_of(owner: RunId, part: str) -> str:
    """Name a thing where a person gave no name."""
    return f"vmferry-{part}-{owner.digest}"


def retry_tokens(owner: RunId, *parts: str, lost: int = 0) -> Iterator[str]:
    """Give the tokens for a call that makes something: the first, and those for when it is spent."""
    for number in range(lost, lost + _MOST_TOKENS):
        yield hashlib.sha256("\n".join((owner.text, *parts, str(number))).encode()).hexdigest()


def clean_tags(wanted: Mapping[str, str]) -> dict[str, str]:
    """Make tags of what people wrote at an object: what OCI would refuse is cut or left out."""
    cleaned: dict[str, str] = {}
    for key, value in wanted.items():
        name = re.sub(r"[\x00-\x20.]+", "-", key).strip("-")[:_KEY_LONGEST]
        if name and not _OWN.match(name) and len(cleaned) < MOST_TAGS:
            cleaned[name] = "".join(letter for letter in value if letter.isprintable())[:_VALUE_LONGEST]
    return cleaned
