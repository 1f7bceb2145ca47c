# SPDX-License-Identifier: Apache-2.0
"""What is looked at before a copy begins, so that a slip of the person who asked for it costs no disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.errors import BadInput, Unreadable
from vmferry.engine.proof.layout import MAGIC

_IN_FILES = frozenset({"file", "image", "stream"})


def refuse_same(source: EndpointSpec, target: EndpointSpec) -> None:
    """A disk copied onto itself is damaged at worst and not copied at best."""
    is_same = source.address == target.address
    if not is_same and {source.kind, target.kind} <= _IN_FILES:
        with contextlib.suppress(OSError):
            is_same = Path(source.address).samefile(target.address)
    if is_same:
        raise BadInput(f"{source.address} and {target.address} are the same disk", fix="name another target")


def check_proof_place(path: Path, target: EndpointSpec | None = None) -> None:
    """See that a proof can be written there, and that nothing but an older proof goes for it."""
    if target is not None and path.absolute() == Path(target.address).absolute():
        raise BadInput(f"{path} cannot be the disk and its proof", fix="name another file for the proof")
    if path.exists() and not _is_proof(path):
        raise BadInput(f"{path} is there and is no proof: it would be lost", fix="name another file for the proof")
    if not path.parent.is_dir():
        raise Unreadable(f"{path}: there is no directory {path.parent}", fix="make it first")
    if not os.access(path.parent, os.W_OK):
        raise Unreadable(f"{path.parent} cannot be written", fix="name another file for the proof")


def _is_proof(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) in (MAGIC, b"")


def require_there(target: EndpointSpec, parent: Sequence[str]) -> None:
    """Changes to a file that is not there would make a disk of holes."""
    if parent and target.kind in _IN_FILES and not Path(target.address).exists():
        raise Unreadable(
            f"{target.address} is not there, but only changes to it were asked for",
            fix="copy the whole disk first: leave out the parent's proofs",
        )


def require_parent(target: Endpoint, parent: Sequence[str]) -> None:
    """See by some leaves from all over it that the target is the disk that the proofs speak of."""
    from vmferry.engine.proof.chain import ProofChain
    from vmferry.engine.pump.resuming import still_holds

    with ProofChain(parent) as chain:
        if not still_holds(chain.groups(), target, chain.size):
            raise BadInput(
                f"{target.name} does not hold what {parent[-1]} proves, so changes to that would make neither disk",
                fix="name the proofs of what it holds, or leave them out to copy the whole disk",
            )
