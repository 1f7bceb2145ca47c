"""Computes a disk's root without vmferry: from docs/format.md and hashlib alone, over a raw file that others wrote."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

LEAF_BYTES = 64 << 10
GROUP_LEAVES = 64


def root_of(raw: Path) -> str:
    """Read a raw image from end to end."""
    root = hashlib.sha256(b"vmferry root 1\n" + struct.pack("<Q", raw.stat().st_size))
    with raw.open("rb") as image:
        number = 0
        while group := image.read(GROUP_LEAVES * LEAF_BYTES):
            mask, digests = 0, b""
            for place in range(0, len(group), LEAF_BYTES):
                leaf = group[place : place + LEAF_BYTES]
                if leaf.strip(b"\0"):
                    mask |= 1 << place // LEAF_BYTES
                    digests += hashlib.sha256(leaf).digest()
            if mask:
                root.update(struct.pack("<Q", number) + hashlib.sha256(struct.pack("<Q", mask) + digests).digest())
            number += 1
    return root.hexdigest()
