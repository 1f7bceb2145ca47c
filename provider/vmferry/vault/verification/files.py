# SPDX-License-Identifier: Apache-2.0
"""Looks at a backup's files as they lie there: are they the ones that were written?"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from vmferry.engine.errors import Cancelled
from vmferry.engine.progress import Progress
from vmferry.engine.units import MiB
from vmferry.vault.backup import Backup, StoredFile
from vmferry.vault.catalogue import Entry
from vmferry.vault.links import Fault

_PIECE_BYTES = 4 * MiB


def check_files(entry: Entry, progress: Progress, cancel: threading.Event) -> Iterator[Fault]:
    """Compare every file's SHA-256 with point.json."""
    for disk, file in _files(entry.require()):
        path = entry.path(file.name)
        try:
            found = _hash(path, progress, cancel)
        except OSError as error:
            yield Fault(entry.id, disk, file.name, f"{path} cannot be read: {error.strerror}")
            continue
        if found != file.sha256:
            yield Fault(entry.id, disk, file.name, f"{path} is not the file that was written (SHA-256 differs)")


def _files(backup: Backup) -> Iterator[tuple[str | None, StoredFile]]:
    for file in backup.files:
        yield None, file
    for disk in backup.disks:
        yield disk.name, disk.image
        yield disk.name, disk.proof


def _hash(path: Path, progress: Progress, cancel: threading.Event) -> str:
    whole, buffer = hashlib.sha256(), bytearray(_PIECE_BYTES)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            if cancel.is_set():
                raise Cancelled("the verification was stopped", fix="start it again")
            whole.update(memoryview(buffer)[:count])
            progress.add(count)
    return whole.hexdigest()
