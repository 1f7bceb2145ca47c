# SPDX-License-Identifier: Apache-2.0
"""A full proof and the incrementals on it, read as one: the view a guest would have of the newest."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from vmferry.engine.errors import ProofError
from vmferry.engine.proof.digests import ProofGroup, RootHasher, overlay
from vmferry.engine.proof.layout import ProofKind
from vmferry.engine.proof.reader import ProofFile


class ProofChain:
    """The proofs of a chain, oldest first. Usable by several threads."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self._files: list[ProofFile] = []
        try:
            for path in paths:
                self._append(ProofFile(path))
        except BaseException:
            self.close()
            raise
        if not self._files:
            raise ProofError("a chain of proofs needs at least one")

    @property
    def size(self) -> int:
        """Bytes of the disk at the newest point."""
        return self._files[-1].size

    @property
    def root(self) -> bytes:
        """The root the newest proof claims."""
        return self._files[-1].root

    @property
    def files(self) -> Sequence[ProofFile]:
        """The proofs, oldest first."""
        return self._files

    def group(self, index: int) -> ProofGroup | None:
        """Describe one group as it reads at the newest point; None when it is all zeros."""
        merged: ProofGroup | None = None
        for proof in self._files:
            found = proof.find(index)
            if found is not None:
                merged = found if merged is None else overlay(merged, found)
        return merged if merged is not None and merged.data else None

    def digests(self, first: int = 0) -> Iterator[tuple[int, bytes, int]]:
        """Stream (index, digest, age) of every group anyone describes from `first` on; age 0 is the oldest proof."""
        # Of the entries for one group, the newest proof's comes first: the age is negated.
        streams = (_aged(proof, -age, first) for age, proof in enumerate(self._files))
        last = -1
        for index, negative_age, digest in heapq.merge(*streams):
            if index != last:
                last = index
                yield index, digest, -negative_age

    def groups(self) -> Iterator[ProofGroup]:
        """Stream every group that has data, as it reads at the newest point."""
        for index, _, _ in self.digests():
            group = self.group(index)
            if group is not None:
                yield group

    def compute_root(self) -> bytes:
        """Compute the newest root from the leaves of all proofs, trusting no digest above them."""
        hasher = RootHasher(self.size)
        for group in self.groups():
            hasher.add(group.number, overlay(None, group).digest)
        return hasher.root()

    def close(self) -> None:
        """Close all files. May be called twice."""
        for proof in self._files:
            proof.close()

    def __enter__(self) -> ProofChain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _append(self, proof: ProofFile) -> None:
        self._files.append(proof)
        if len(self._files) == 1:
            if proof.header.kind is not ProofKind.FULL:
                raise ProofError(f"proof {proof.path} is incremental: its full proof is missing before it")
            return
        parent = self._files[-2]
        if proof.header.kind is not ProofKind.INCREMENTAL or proof.parent_root != parent.root:
            raise ProofError(f"proof {proof.path} does not stand on {parent.path}", fix="verify the backup's chain")


def _aged(proof: ProofFile, negative_age: int, first: int) -> Iterator[tuple[int, int, bytes]]:
    for index, _, _, _, digest in proof.entries():
        if index >= first:
            yield index, negative_age, digest
