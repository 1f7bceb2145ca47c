"""The proof's definitions once more, written as plainly as possible, to hold the engine against."""

from __future__ import annotations

import hashlib
import struct

LEAF = 65536


def naive_root(image: bytes) -> str:
    """Compute the root of a whole image in memory, straight from docs/format.md."""
    root = hashlib.sha256(b"vmferry root 1\n" + struct.pack("<Q", len(image)))
    for number in range(-(-len(image) // (64 * LEAF))):
        mask, digests = 0, b""
        for bit in range(64):
            at = (number * 64 + bit) * LEAF
            leaf = image[at : at + LEAF]
            if leaf.strip(b"\0"):
                mask |= 1 << bit
                digests += hashlib.sha256(leaf).digest()
        if mask:
            group = hashlib.sha256(struct.pack("<Q", mask) + digests).digest()
            root.update(struct.pack("<Q", number) + group)
    return root.hexdigest()
