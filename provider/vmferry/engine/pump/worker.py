# SPDX-License-Identifier: Apache-2.0
"""One worker of the pump: takes a task, reads, hashes, compares, writes, hands in the record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from vmferry.engine.endpoint import Connection
from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.proof.digests import ProofGroup, bits, count_bits, runs
from vmferry.engine.statistics import CompressionSample
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES, LEAVES_PER_GROUP

_ZERO_LEAF = bytes(LEAF_BYTES)
_ZERO_HEAD = bytes(32)
_sha256 = hashlib.sha256


class GroupMover:
    """Moves groups between two connections; one per worker thread, with its own buffer."""

    def __init__(
        self, source: Connection, target: Connection, size_bytes: int, parent: ProofChain | None, *, reads_zero: bool
    ) -> None:
        self._source = source
        self._target = target
        self._size_bytes = size_bytes
        self._parent = parent
        self._reads_zero = reads_zero
        self._buffer = memoryview(bytearray(GROUP_BYTES))
        self.sample = CompressionSample()
        self.read_bytes = self.written_bytes = self.zeroed_bytes = 0

    def move(self, index: int, read: int, zero: int) -> tuple[ProofGroup, bool]:
        """Bring the target's group up to date; give its record and whether the target was written to."""
        base = index * GROUP_BYTES
        for first, count in runs(read):
            start, end = first * LEAF_BYTES, self._end(base, first + count)
            self._source.read_into(base + start, self._buffer[start:end])
            self.read_bytes += end - start
        digests, found_zero = self._digest(base, read)
        zero |= found_zero
        if self._parent is not None:
            digests, zero = _drop_unchanged(self._parent.group(index), digests, zero)
        data = sum(1 << bit for bit in digests)
        touched = self._write(base, data)
        touched |= self._zero(base, zero)
        self._take_sample(digests)
        changed = data | zero if self._parent is not None else data
        return ProofGroup(index, changed, data, b"", tuple(digests.values())), touched

    def _end(self, base: int, leaf: int) -> int:
        return min(leaf * LEAF_BYTES, self._size_bytes - base)

    def _digest(self, base: int, read: int) -> tuple[dict[int, bytes], int]:
        """Hash the leaves that were read; leaves that turn out to be zeros are told apart."""
        buffer, digests, zero = self._buffer, {}, 0
        for bit in bits(read):
            start, end = bit * LEAF_BYTES, self._end(base, bit + 1)
            leaf = buffer[start:end]
            # Most leaves show in their first bytes that they are not zeros; the others are compared whole.
            if leaf[:32] == _ZERO_HEAD[: end - start] and bytes(leaf) == _ZERO_LEAF[: end - start]:
                zero |= 1 << bit
            else:
                digests[bit] = _sha256(leaf).digest()
        return digests, zero

    def _write(self, base: int, data: int) -> bool:
        for first, count in runs(data):
            start, end = first * LEAF_BYTES, self._end(base, first + count)
            self._target.write(base + start, self._buffer[start:end])
            self.written_bytes += end - start
        return bool(data)

    def _zero(self, base: int, zero: int) -> bool:
        if not zero or (self._reads_zero and self._parent is None):
            return False
        for first, count in runs(zero):
            start, end = first * LEAF_BYTES, self._end(base, first + count)
            self._target.zero(base + start, end - start)
            self.zeroed_bytes += end - start
        return True

    def _take_sample(self, digests: dict[int, bytes]) -> None:
        for bit in digests:
            self.sample.look_at(self._buffer[bit * LEAF_BYTES : (bit + 1) * LEAF_BYTES])
            return


def _drop_unchanged(lower: ProofGroup | None, digests: dict[int, bytes], zero: int) -> tuple[dict[int, bytes], int]:
    """Leave out what already reads so on the target."""
    if lower is None:
        return digests, 0
    before = dict(zip(bits(lower.data), lower.leaves))
    changed = {bit: digest for bit, digest in digests.items() if before.get(bit) != digest}
    return changed, zero & lower.data


def leaf_bytes(mask: int, number: int, size_bytes: int) -> int:
    """Count the bytes of a group's leaves; the last leaf of a disk may be short."""
    total = count_bits(mask) * LEAF_BYTES
    last_leaf, length = divmod(size_bytes - number * GROUP_BYTES, LEAF_BYTES)
    return total - (LEAF_BYTES - length) if last_leaf < LEAVES_PER_GROUP and mask >> last_leaf & 1 else total


def task_bytes(read: int, zero: int) -> int:
    """Weigh a task for the bound on uncommitted work: what would have to be done again."""
    return count_bits(read) * LEAF_BYTES + (LEAF_BYTES if zero else 0)


def split_zeros(first: int, count: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut a long run of zero groups into pieces."""
    while count > 0:
        piece = min(count, most)
        yield first, piece
        first += piece
        count -= piece
