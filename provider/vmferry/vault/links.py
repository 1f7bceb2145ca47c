# SPDX-License-Identifier: Apache-2.0
"""The quick look at backups: are the files there, of the right size, and does each link point to the right parent."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmferry.engine.errors import EngineError
from vmferry.engine.proof import ProofFile
from vmferry.vault.backup import StoredFile
from vmferry.vault.catalogue import Entry, Link
from vmferry.vault.errors import ChainBroken

_QCOW2 = struct.Struct(">4sIQIIQ")  # magic, version, backing offset, backing length, cluster bits, size


LONGEST_CHAIN_PATH_BYTES = 2560
"""What a chain's names may add up to before it ends. QEMU follows relative backing names by stringing them together to
one path (qemu 7.2: ENAMETOOLONG at the 110th backup of a VM with a short name), and Linux takes 4095 bytes: what is
left is for the path of the vault, also where it may be moved to."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as point.json says."""

    backup: str
    disk: str | None
    file: str
    message: str


def chain_path_bytes(links: Sequence[Link]) -> int:
    """Say how long the path becomes by which QEMU reaches the oldest of these from a backup that stands on them."""
    steps = sum(len(f"/../{link.entry.id}") for link in links)
    return steps + len(f"/{links[0].disk.image.name}") if links else 0


def check_links(links: Sequence[Link]) -> Iterator[Fault]:
    """Look at each layer of one disk's chain."""
    below: Link | None = None
    for link in links:
        yield from check_layer(link)
        yield from check_standing(link, below)
        below = link


def check_layer(link: Link) -> Iterator[Fault]:
    """Look at one layer: sizes, the qcow2's header, the proof's header."""
    missing = [
        *check_file(link.entry, link.disk.image, link.disk.name),
        *check_file(link.entry, link.disk.proof, link.disk.name),
    ]
    if missing:
        yield from missing
        return
    yield from _check_qcow2(link)
    yield from _check_proof(link)


def check_file(entry: Entry, file: StoredFile, disk: str | None = None) -> Iterator[Fault]:
    """Look whether a file is there and has its size."""
    path = entry.path(file.name)
    try:
        found = path.stat().st_size if path.is_file() else None
    except OSError as error:
        yield Fault(entry.id, disk, file.name, f"{path}: {error.strerror}")
        return
    if found is None:
        yield Fault(entry.id, disk, file.name, f"{path} is missing")
    elif found != file.size_bytes:
        yield Fault(entry.id, disk, file.name, f"{path} has {found} bytes, it was written with {file.size_bytes}")


def require_links(links: Sequence[Link], vm: str) -> None:
    """Raise `ChainBroken` for the first thing that is wrong with a chain."""
    for fault in check_links(links):
        raise ChainBroken(
            f"VM {vm!r}, backup {fault.backup}, disk {fault.disk}: {fault.message}",
            fix="restore an older backup or bring the file back from a copy; vmferry vault verify names all damage",
        )


def check_standing(link: Link, below: Link | None) -> Iterator[Fault]:
    """Look whether a layer still stands on the one below."""
    disk = link.disk
    if below is None:
        return
    wanted = f"../{below.entry.id}/{below.disk.image.name}"
    if disk.backing != wanted or disk.parent_root != below.disk.root:
        yield Fault(
            link.entry.id,
            disk.name,
            disk.image.name,
            f"{link.entry.id} does not stand on {below.entry.id} as that is now",
        )


def _check_qcow2(link: Link) -> Iterator[Fault]:
    disk = link.disk
    try:
        backing, size = read_qcow2_header(link.image)
    except (OSError, ValueError) as error:
        yield Fault(link.entry.id, disk.name, disk.image.name, f"{link.image}: {error}")
        return
    if backing != disk.backing:
        yield Fault(
            link.entry.id, disk.name, disk.image.name, f"{link.image} stands on {backing!r}, not on {disk.backing!r}"
        )
    if size != rounded(disk.size_bytes):
        yield Fault(
            link.entry.id, disk.name, disk.image.name, f"{link.image} is a disk of {size} bytes, not {disk.size_bytes}"
        )


def _check_proof(link: Link) -> Iterator[Fault]:
    disk = link.disk
    try:
        with ProofFile(link.proof) as proof:
            said = (proof.root.hex(), proof.size, proof.parent_root.hex() if disk.parent else None)
    except EngineError as error:
        yield Fault(link.entry.id, disk.name, disk.proof.name, error.what)
        return
    if said != (disk.root, disk.size_bytes, disk.parent_root):
        yield Fault(link.entry.id, disk.name, disk.proof.name, f"{link.proof} is the proof of something else")


def read_qcow2_header(path: Path) -> tuple[str | None, int]:
    """Read (backing file name, virtual size); raises ValueError when it is no qcow2."""
    with path.open("rb") as file:
        head = file.read(_QCOW2.size)
        if len(head) < _QCOW2.size or head[:4] != b"QFI\xfb":
            raise ValueError("not a qcow2 image")
        _, _, offset, length, _, size = _QCOW2.unpack(head)
        if not offset:
            return None, size
        if length > 1023:
            raise ValueError("the backing file name is too long")
        file.seek(offset)
        return file.read(length).decode(errors="replace"), size


def rounded(size_bytes: int) -> int:
    """Give the size of the qcow2 that holds a disk."""
    return -(-size_bytes // 512) * 512


def first_fault(faults: Iterable[Fault]) -> Fault | None:
    """Give the first fault, if there is any."""
    return next(iter(faults), None)
