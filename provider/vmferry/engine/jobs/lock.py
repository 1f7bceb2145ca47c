# SPDX-License-Identifier: Apache-2.0
"""The owner lock: who holds it runs the job. The kernel frees it when the process ends, however it ends.

Whether a job runs is asked by trying a shared lock for an instant. So a start that finds the lock taken has to tell an
owner from somebody who only looks: an owner also keeps it from a shared lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

_PAUSE_S = 0.002


class OwnerLock:
    """A held owner lock. Survives a fork: it is free when the last process that inherited it closed it or died."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give up this process's share of the lock. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> OwnerLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def try_acquire(path: Path) -> OwnerLock | None:
    """Take the lock, or return None when an owner has it; raises `FileNotFoundError` when the job was forgotten."""
    while True:
        # Close-on-exec (Python's default) keeps it from child servers, which may outlive us by an instant.
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _lock(fd, fcntl.LOCK_EX):
                if _is_same_file(fd, path):
                    lock, fd = OwnerLock(fd), -1
                    return lock
            elif not _lock(fd, fcntl.LOCK_SH):
                return None
        finally:
            if fd >= 0:
                os.close(fd)
        time.sleep(_PAUSE_S)


def is_held(path: Path) -> bool:
    """Tell whether an owner has the lock."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_same_file(fd: int, path: Path) -> bool:
    """Tell whether the path still leads to the file we locked: a forget may have moved it away in between."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
