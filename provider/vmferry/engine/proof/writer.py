# SPDX-License-Identifier: Apache-2.0
"""Writes a proof file from groups in ascending order; of an incremental's parents it reads only what it touches."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from vmferry.engine.errors import ProofError
from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.proof.digests import ZERO_GROUP_DIGEST, ProofGroup, RootHasher, overlay
from vmferry.engine.proof.layout import ENTRY, HEADER_BYTES, Header, ProofKind, pack_header

_NO_ROOT = bytes(32)


def write_proof(
    path: Path | str, size_bytes: int, groups: Iterable[ProofGroup], parent: ProofChain | None = None
) -> bytes:
    """Write the groups (ascending, digests not yet known) as a proof file and give the root.

    The file is whole or absent: temporary name, fsync, rename. The leaves wait in a second temporary file, because
    they stand behind an index whose length is known only at the end.
    """
    path = Path(path)
    temporary, leaves_path = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".leaves.tmp")
    try:
        with temporary.open("w+b") as out, leaves_path.open("w+b") as leaves:
            header = _write_parts(size_bytes, groups, parent, out, leaves)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        leaves_path.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)
    return header.root


def compute_root(size_bytes: int, groups: Iterable[ProofGroup], parent: ProofChain | None = None) -> bytes:
    """Compute the root that `write_proof` would give, writing nothing."""
    roots = _RootOverParent(size_bytes, parent)
    for group in groups:
        roots.add(group)
    return roots.finish()


def _write_parts(
    size_bytes: int, groups: Iterable[ProofGroup], parent: ProofChain | None, out: BinaryIO, leaves: BinaryIO
) -> Header:
    out.write(bytes(HEADER_BYTES))
    roots = _RootOverParent(size_bytes, parent)
    group_total = leaf_total = 0
    for group in groups:
        digest = roots.add(group)
        if digest is None:
            continue
        out.write(ENTRY.pack(group.number, leaf_total, group.changed, group.data, digest))
        leaves.write(b"".join(group.leaves))
        group_total += 1
        leaf_total += len(group.leaves)
    kind = ProofKind.FULL if parent is None else ProofKind.INCREMENTAL
    parent_root = _NO_ROOT if parent is None else parent.root
    header = Header(kind, size_bytes, group_total, leaf_total, roots.finish(), parent_root)
    leaves.seek(0)
    shutil.copyfileobj(leaves, out, 1 << 20)
    out.seek(0)
    out.write(pack_header(header))
    out.flush()
    out.seek(0)
    out.write(_seal_of(out))
    return header


def _seal_of(whole: BinaryIO) -> bytes:
    seal = hashlib.sha256()
    while piece := whole.read(1 << 20):
        seal.update(piece)
    return seal.digest()


class _RootOverParent:
    """A root over new groups and, between them, the groups of the parent that nobody touched."""

    def __init__(self, size_bytes: int, parent: ProofChain | None) -> None:
        self._hasher = RootHasher(size_bytes)
        self._parent = parent
        self._inherited: Iterator[tuple[int, bytes, int]] = iter(()) if parent is None else parent.digests()
        self._waiting = next(self._inherited, None)
        self._last = -1

    def add(self, group: ProofGroup) -> bytes | None:
        """Give the group's digest, or None when the proof need not mention it."""
        if group.number <= self._last:
            raise ProofError(f"group {group.number} comes after group {self._last}")
        self._last = group.number
        self._pass_inherited(group.number)
        if not (group.changed if self._parent else group.data):
            return None
        while self._waiting is not None and self._waiting[0] == group.number:
            self._waiting = next(self._inherited, None)
        lower = self._parent.group(group.number) if self._parent else None
        digest = overlay(lower, group).digest
        if digest != ZERO_GROUP_DIGEST:
            self._hasher.add(group.number, digest)
        return digest

    def finish(self) -> bytes:
        """Give the root, after the last group."""
        self._pass_inherited(None)
        return self._hasher.root()

    def _pass_inherited(self, before: int | None) -> None:
        while self._waiting is not None and (before is None or self._waiting[0] < before):
            if self._waiting[1] != ZERO_GROUP_DIGEST:
                self._hasher.add(self._waiting[0], self._waiting[1])
            self._waiting = next(self._inherited, None)
