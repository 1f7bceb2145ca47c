# SPDX-License-Identifier: Apache-2.0
"""Looks into a disk as a guest would: partition tables and the superblocks of file systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmferry.engine.filesystems.detect import UNKNOWN
from vmferry.engine.filesystems.partitions import read_table
from vmferry.engine.filesystems.volumes import WITHOUT_FILE_SYSTEM, list_volumes
from vmferry.engine.images.reader import EndpointReader
from vmferry.vault.catalogue import Link
from vmferry.vault.images import open_backup_disk


def check_structure(links: Sequence[Link]) -> Iterator[str]:
    """Say what is wrong with a disk's tables and superblocks; a disk in which nothing is known is wrong as well.

    A data disk that a program uses without a file system is reported too: nobody can tell it from a wiped one.
    """
    with open_backup_disk(links) as endpoint, EndpointReader(endpoint) as reader:
        table = read_table(reader)
        volumes = list_volumes(reader, table)
        yield from (f"the partition table is damaged: {problem}" for problem in table.problems)
        yield from (f"{volume.where}: {volume.damage}" for volume in volumes if volume.damage)
        known = [one for one in volumes if one.type != UNKNOWN or one.type_id in WITHOUT_FILE_SYSTEM]
        if not any(one.type != UNKNOWN for one in known):
            what = "no partition table and no" if table.kind == "none" else f"a {table.kind} partition table, but no"
            yield f"it has {what} file system, swap or volume that is known: is it empty?"
