# SPDX-License-Identifier: Apache-2.0
"""Restores one disk to a pipe, such as standard output: a raw image, front to back, proved on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.errors import Cancelled
from vmferry.engine.extents import Extent, merged
from vmferry.engine.proof import ProofGroup, compute_root
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES
from vmferry.vault.adding import PLAIN_PACE, Pace
from vmferry.vault.catalogue import read_shelf
from vmferry.vault.images import open_backup_disk
from vmferry.vault.layout import Vault
from vmferry.vault.lock import reading
from vmferry.vault.restoring import check_root, find_chain

_ZERO_LEAF = bytes(LEAF_BYTES)
_ZERO_GROUP = bytes(GROUP_BYTES)


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, data: memoryview, /) -> object:
        """Take all of them."""


def restore_stream(
    vault: Vault, vm: str, disk: str, sink: Sink, *, backup: str = "latest", pace: Pace = PLAIN_PACE
) -> str:
    """Write a disk to a sink in order and give its root.

    Raises `ProofMismatch` at the end when the bytes were not what was backed up: whoever reads the pipe has to look at
    our exit code before using them.
    """
    (vm_dir,) = vault.vm_dirs(vm)
    with reading(vm_dir, f"restoring {vm}"), ExitStack() as open_things:
        links = find_chain(read_shelf(vm_dir), backup, disk)
        source = open_things.enter_context(open_backup_disk(links))
        connection = source.connect()
        open_things.callback(connection.close)
        root = compute_root(source.size, _groups(source, connection, sink, pace)).hex()
        check_root(links, root)
        return root


def _groups(source: Endpoint, connection: Connection, sink: Sink, pace: Pace) -> Iterator[ProofGroup]:
    buffer = memoryview(bytearray(GROUP_BYTES))
    for number, is_zero in _numbers(source):
        if pace.cancel is not None and pace.cancel.is_set():
            raise Cancelled(f"the restore of {source.name} was stopped", fix="start it again")
        offset = number * GROUP_BYTES
        piece = buffer[: min(GROUP_BYTES, source.size - offset)]
        if is_zero:
            sink.write(memoryview(_ZERO_GROUP)[: len(piece)])
        else:
            connection.read_into(offset, piece)
            sink.write(piece)
            yield _hash_group(number, piece)
        if pace.progress is not None:
            pace.progress.add(len(piece), zero_bytes=len(piece) if is_zero else 0)


def _numbers(source: Endpoint) -> Iterator[tuple[int, bool]]:
    """Yield every group and whether all of it is known to be zeros."""
    number = 0
    for extent in merged(source.extents()):
        if extent.zero:
            # Up to where data begins, groups that lie inside are zeros; the last one may end with the disk.
            first = -(-extent.start // GROUP_BYTES)
            while number < first:
                yield number, False
                number += 1
            while number < _end_group(extent, source.size):
                yield number, True
                number += 1
        else:
            while number * GROUP_BYTES < extent.end:
                yield number, False
                number += 1
    while number * GROUP_BYTES < source.size:
        yield number, False
        number += 1


def _end_group(extent: Extent, size_bytes: int) -> int:
    return -(-size_bytes // GROUP_BYTES) if extent.end >= size_bytes else extent.end // GROUP_BYTES


def _hash_group(number: int, piece: memoryview) -> ProofGroup:
    data, leaves = 0, []
    for bit, start in enumerate(range(0, len(piece), LEAF_BYTES)):
        leaf = piece[start : start + LEAF_BYTES]
        if leaf != _ZERO_LEAF[: len(leaf)]:
            data |= 1 << bit
            leaves.append(hashlib.sha256(leaf).digest())
    return ProofGroup(number, data, data, b"", tuple(leaves))
