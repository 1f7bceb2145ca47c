# SPDX-License-Identifier: Apache-2.0
"""Who owns what: every external object carries the tag of the run that made it. The cloud is the ledger."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from urllib.parse import quote, unquote

from vmferry.engine.errors import BadInput

PREFIX = "vmferry:"
_NAMESPACE = uuid.UUID("6f6d3f6e-5f0b-5c0e-9d1c-8b8a0b5f2f11")
_LONGEST = 120
"""Platforms cut descriptions at 255 characters; words about the object's state come behind the run."""
_TAG = re.compile(r"^vmferry:(?P<run>\S+)(?P<words>(?: \S+)*)$")


@dataclass(frozen=True, slots=True)
class RunId:
    """One run of a backup, restore or migration: never a try of it, so that a retry finds what the first try made."""

    text: str
    """E.g. ``backup_web01/scheduled__2026-01-31T02:00:00+00:00``."""

    def __post_init__(self) -> None:
        if not self.text or any(letter.isspace() or not letter.isprintable() for letter in self.text):
            raise BadInput(f"{self.text!r} is not the id of a run", fix="use letters, digits and punctuation")

    @classmethod
    def of(cls, *parts: str) -> RunId:
        """Join parts, such as a DAG and its run."""
        return cls("/".join(re.sub(r"\s+", "_", part) for part in parts))

    @property
    def digest(self) -> str:
        """Twelve characters that stand for it where there is no room."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    def derive_id(self, *parts: str) -> str:
        """Give the UUID of something this run makes: always the same for the same parts."""
        return str(uuid.uuid5(_NAMESPACE, "\n".join((self.text, *parts))))

    def tag(self, *words: str) -> str:
        """Write the tag; the words say what state the object is in."""
        return " ".join((PREFIX + self._encode(), *words))

    def _encode(self) -> str:
        encoded = _quote(self.text)
        if len(encoded) <= _LONGEST:
            return encoded
        kept, room = "", _LONGEST - 13
        for letter in self.text:
            # A letter is kept whole: what `parse_tag` reads is a run that writes this very tag.
            if len(kept) + len(_quote(letter)) > room:
                break
            kept += _quote(letter)
        return f"{kept}~{self.digest}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Tag:
    """What a tag says."""

    run: str
    """The run as it stands in the tag: compare with `is_of`, a long one is cut."""
    words: tuple[str, ...]

    def is_of(self, run: RunId) -> bool:
        """Tell whether this run wrote it."""
        return run.tag() == PREFIX + _quote(self.run)


def parse_tag(text: str | None) -> Tag | None:
    """Read a tag; None when the object is not ours."""
    match = _TAG.match(text or "")
    return Tag(unquote(match["run"]), tuple(match["words"].split())) if match else None


def is_tag_of(text: str | None, run: RunId) -> bool:
    """Tell whether a description is the tag of this run."""
    tag = parse_tag(text)
    return tag is not None and tag.is_of(run)


def _quote(text: str) -> str:
    return quote(text, safe="/:+=@,.~-_")
