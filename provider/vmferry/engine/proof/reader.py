# SPDX-License-Identifier: Apache-2.0
"""Reads one proof file, by streaming or by looking groups up; never holds it in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from vmferry.engine.errors import ProofError, Unreadable
from vmferry.engine.proof.digests import DIGEST_BYTES, ProofGroup, count_bits
from vmferry.engine.proof.layout import ENTRY, HEADER_BYTES, SEAL_BYTES, Header, unpack_header

_ENTRIES_PER_READ = 4096


class ProofFile:
    """A proof file, open. Usable by several threads: all reads name their offset."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable(f"proof {self.path}: {error.strerror}") from error
        try:
            self.header: Header = unpack_header(os.pread(self._fd, HEADER_BYTES, 0), str(self.path))
            if os.fstat(self._fd).st_size != self.header.file_bytes:
                raise ProofError(f"proof {self.path} has the wrong length: it is torn", fix="verify the backup")
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Bytes of the disk this proof is about."""
        return self.header.size_bytes

    @property
    def kind(self) -> str:
        """full or incremental."""
        return self.header.kind.value

    @property
    def root(self) -> bytes:
        """The root of the disk as it reads with this proof's leaves on its parents'."""
        return self.header.root

    @property
    def parent_root(self) -> bytes:
        """The root this incremental proof stands on; 32 zero bytes for a full one."""
        return self.header.parent_root

    def entries(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Stream (index, first leaf, changed, data, digest) of every group, ascending."""
        for start in range(0, self.header.groups, _ENTRIES_PER_READ):
            count = min(_ENTRIES_PER_READ, self.header.groups - start)
            raw = os.pread(self._fd, count * ENTRY.size, HEADER_BYTES + start * ENTRY.size)
            yield from ENTRY.iter_unpack(raw)

    def groups(self) -> Iterator[ProofGroup]:
        """Stream every group with its leaves, ascending."""
        for index, first, changed, data, digest in self.entries():
            yield ProofGroup(index, changed, data, digest, self._leaves(first, data))

    def find(self, index: int) -> ProofGroup | None:
        """Look one group up; None when this proof does not describe it."""
        low, high = 0, self.header.groups
        while low < high:
            middle = (low + high) // 2
            raw = os.pread(self._fd, ENTRY.size, HEADER_BYTES + middle * ENTRY.size)
            found, first, changed, data, digest = ENTRY.unpack(raw)
            if found == index:
                return ProofGroup(index, changed, data, digest, self._leaves(first, data))
            if found < index:
                low = middle + 1
            else:
                high = middle
        return None

    def check_seal(self) -> None:
        """Read the whole file and compare it with its seal."""
        whole, position = hashlib.sha256(), 0
        end = self.header.file_bytes - SEAL_BYTES
        while position < end:
            piece = os.pread(self._fd, min(1 << 20, end - position), position)
            whole.update(piece)
            position += len(piece)
        if whole.digest() != os.pread(self._fd, SEAL_BYTES, end):
            raise ProofError(f"proof {self.path} is damaged: its seal does not match", fix="verify the backup")

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> ProofFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _leaves(self, first: int, data: int) -> tuple[bytes, ...]:
        count = count_bits(data)
        raw = os.pread(self._fd, count * DIGEST_BYTES, self.header.leaves_offset + first * DIGEST_BYTES)
        return tuple(raw[i : i + DIGEST_BYTES] for i in range(0, len(raw), DIGEST_BYTES))
