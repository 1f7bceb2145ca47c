# SPDX-License-Identifier: Apache-2.0
"""Sizes of bytes: the constants, and how people write and read them."""

from __future__ import annotations

import re

from vmferry.engine.errors import BadInput

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
TiB = 1 << 40

LEAF_BYTES = 64 * KiB
"""What one digest of a proof covers: the granularity of qemu's dirty bitmaps and of qcow2 clusters."""

GROUP_BYTES = 4 * MiB
"""What one unit of work of the pump and one group digest of a proof cover."""

LEAVES_PER_GROUP = GROUP_BYTES // LEAF_BYTES

_UNITS = {"": 1, "b": 1, "k": KiB, "m": MiB, "g": GiB, "t": TiB}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\s*$", re.IGNORECASE)


def parse_bytes(text: str, *, field: str = "size") -> int:
    """Turn ``50MiB``, ``50M``, ``1.5g`` or ``4096`` into bytes; all units are binary."""
    match = _SIZE.match(text)
    if not match:
        raise BadInput(f"{field}: {text!r} is not a size", fix="write it as 4096, 64KiB, 50MiB or 1.5GiB")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])


def parse_rate(text: str, *, field: str = "rate") -> int:
    """Turn what people write into bytes a second; none at all would never end."""
    rate = parse_bytes(text, field=field)
    if not rate:
        raise BadInput(f"{field}: {text!r} is no byte a second", fix="leave it out for no limit")
    return rate


def format_bytes(count: float) -> str:
    """Write a number of bytes as a person reads it: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_seconds(seconds: float) -> str:
    """Write a span of time as ``7 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
