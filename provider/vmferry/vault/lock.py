# SPDX-License-Identifier: Apache-2.0
"""One writer per VM. Locks are flock's, so the system frees them when their holder dies, whatever way it dies."""

from __future__ import annotations

import enum
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vmferry.vault.errors import VaultBusy
from vmferry.vault.names import format_moment

WRITERS = ".lock"
READERS = ".reading"


class Hold(enum.Enum):
    """How a lock is held."""

    SHARED = fcntl.LOCK_SH
    """With others of the same kind."""
    EXCLUSIVE = fcntl.LOCK_EX
    """Alone."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    host: str
    pid: int
    since: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} (host {self.host}, process {self.pid}, since {self.since})"


@contextmanager
def locked(path: Path, hold: Hold, what: str, *, vm: str) -> Iterator[None]:
    """Hold a lock or raise `VaultBusy`, at once, naming the holder."""
    with _taken(_open(path), hold, path, vm, what):
        yield


@contextmanager
def reading(vm_dir: Path, what: str) -> Iterator[None]:
    """Keep prune from taking files away while we read; without a lock where the file system cannot be written."""
    try:
        fd = _open(vm_dir / READERS)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        yield
        return
    with _taken(fd, Hold.SHARED, vm_dir / READERS, vm_dir.name, what):
        yield


@contextmanager
def writing(vm_dir: Path, hold: Hold, what: str, *, vm: str) -> Iterator[None]:
    """Hold the writers' lock of a VM."""
    with locked(vm_dir / WRITERS, hold, what, vm=vm):
        yield


@contextmanager
def swapping(vm_dir: Path, what: str, *, vm: str) -> Iterator[None]:
    """Make sure that nobody reads while files are swapped or taken away."""
    with locked(vm_dir / READERS, Hold.EXCLUSIVE, what, vm=vm):
        yield


def is_free(path: Path) -> bool:
    """Tell whether nobody holds this lock just now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def read_holder(path: Path) -> Holder | None:
    """Read who signed the lock last."""
    try:
        raw = json.loads(path.read_bytes())
        return Holder(str(raw["host"]), int(raw["pid"]), str(raw["since"]), str(raw["what"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear_empty(vm_dir: Path) -> None:
    """Remove a VM's directory that holds nothing but locks; the caller holds the writers' lock."""
    if {path.name for path in vm_dir.iterdir()} <= {WRITERS, READERS}:
        for name in (READERS, WRITERS):
            (vm_dir / name).unlink(missing_ok=True)
        vm_dir.rmdir()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)


@contextmanager
def _taken(fd: int, hold: Hold, path: Path, vm: str, what: str) -> Iterator[None]:
    try:
        _take(fd, hold, path, vm)
        try:
            _sign(fd, what)
            yield
        finally:
            _wipe_if_last(fd)
    finally:
        os.close(fd)


def _take(fd: int, hold: Hold, path: Path, vm: str) -> None:
    try:
        fcntl.flock(fd, hold.value | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = read_holder(path)
        raise VaultBusy(
            f"VM {vm!r} is busy: {holder or 'somebody else has its lock'}", fix="wait until it ends, then try again"
        ) from None
    if not path.exists() or os.fstat(fd).st_ino != path.stat().st_ino:
        # `clear_empty` took the file away between our open and our lock.
        raise VaultBusy(f"VM {vm!r} was busy a moment ago", fix="try again")


def _sign(fd: int, what: str) -> None:
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": format_moment(datetime.now(UTC)),
        "what": what,
    }
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(holder).encode(), 0)


def _wipe_if_last(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
    except OSError:
        # Others still share it: what stands there is theirs.
        return
