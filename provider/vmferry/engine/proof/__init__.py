# SPDX-License-Identifier: Apache-2.0
"""Proofs: what a disk's bytes were, in 32 bytes for every 64 KiB, and one root over all of them.

`digests` defines the digests, `layout` the file; `writer`, `reader` and `chain` move between the two;
`difference` names the guest offsets where two proofs differ. The format is specified in docs/format.md.
"""

from __future__ import annotations

from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.proof.difference import Difference, compare
from vmferry.engine.proof.digests import ProofGroup, RootHasher, group_digest, leaf_count
from vmferry.engine.proof.reader import ProofFile
from vmferry.engine.proof.writer import compute_root, write_proof

__all__ = [
    "Difference",
    "ProofChain",
    "ProofFile",
    "ProofGroup",
    "RootHasher",
    "compare",
    "compute_root",
    "group_digest",
    "leaf_count",
    "write_proof",
]
