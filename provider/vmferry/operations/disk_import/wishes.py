# SPDX-License-Identifier: Apache-2.0
"""What people may ask for in an object's metadata. Everything else that they write becomes a tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.operations.values import Carried

TARGETS = ("volume", "boot_volume")
CHECKS = ("check", "repair", "skip")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wishes(Carried):
    """What an object's metadata asks for; None where it asks for nothing."""

    ad_number: int | None = None
    fault_domain: str | None = None
    target: str | None = None
    size_gb: int | None = None
    vpus: int | None = None
    backup_policy: str | None = None
    display_name: str | None = None
    compartment: str | None = None
    sha256: str | None = None
    fs_check: str | None = None
    keep_object: bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def read_wishes(metadata: Mapping[str, str], what: str) -> Wishes:
    """Read them; raises `BadInput` with all that is wrong at once."""
    found: dict[str, Any] = {}
    tags: dict[str, str] = {}
    problems: list[str] = []
    for key, text in metadata.items():
        name = _ALIASES.get(key.lower().replace("-", "_"), key.lower().replace("-", "_"))
        read = _READERS.get(name)
        if read is None:
            tags[key] = text
            continue
        try:
            found[name] = read(text.strip())
        except ValueError as problem:
            problems.append(f"{key} is {text[:80]!r}: {problem}")
    if problems:
        fix = "correct the metadata: upload it again, or copy the object onto itself with other metadata"
        raise BadInput(f"{what}: {'; '.join(problems)}", fix=fix)
    return Wishes(**found, tags=tags)


def _number(lowest: int, highest: int, step: int = 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        said = f"{lowest} to {highest}" + (f" in steps of {step}" if step > 1 else "")
        if not re.fullmatch(r"[0-9]{1,9}", text) or not lowest <= int(text) <= highest or int(text) % step:
            raise ValueError(f"it has to be a number, {said}")
        return int(text)

    return read


def _choice(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"it has to be one of {', '.join(names)}")
        return text.lower()

    return read


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES_NO:
        raise ValueError("it has to be true or false")
    return _YES_NO[text.lower()]


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text.lower()):
        raise ValueError("it has to be 64 hex digits")
    return text.lower()


def _line(text: str) -> str:
    if not text or len(text) > 255 or not text.isprintable():
        raise ValueError("it has to be 1 to 255 printable letters")
    return text


_ALIASES = {"ad": "ad_number", "size": "size_gb", "vpus_per_gb": "vpus", "volume_backup_policy": "backup_policy"}
_READERS: dict[str, Callable[[str], Any]] = {
    "ad_number": _number(0, 9),
    "fault_domain": _line,
    "target": _choice(*TARGETS),
    "size_gb": _number(1, 32768),
    "vpus": _number(0, 120, 10),
    "backup_policy": _line,
    "display_name": _line,
    "compartment": _line,
    "sha256": _sha256,
    "fs_check": _choice(*CHECKS),
    "keep_object": _yes_or_no,
}
