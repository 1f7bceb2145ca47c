# SPDX-License-Identifier: Apache-2.0
"""One writer per image file: among ourselves by flock, towards qemu by the byte locks qemu itself uses."""

from __future__ import annotations

import fcntl
import struct

from vmferry.engine.errors import TargetInUse

# qemu (block/file-posix.c) read-locks byte 100+N for "I use permission N" and 200+N for "nobody else may"; the
# permission to write has N = 1. The locks belong to the open file, so they end with it.
_USES_WRITE = 101
_DENIES_WRITE = 201
_FLOCK = "hhqqi4x"
_F_OFD_GETLK = getattr(fcntl, "F_OFD_GETLK", 36)
_F_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)


def lock_for_writing(fd: int, name: str) -> None:
    """Become the only writer until `fd` is closed, or raise `TargetInUse`."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TargetInUse(f"{name} is being written by another vmferry", fix="wait for it, or stop it") from None
    except OSError:
        return  # a file system without locks
    for byte in (_USES_WRITE, _DENIES_WRITE):
        if _is_locked(fd, byte):
            raise TargetInUse(f"{name} is open in a qemu process", fix="stop the VM, or copy to another file")
        _lock_shared(fd, byte)


def is_written(fd: int) -> bool:
    """Tell whether a qemu process or another vmferry has the file open for writing."""
    return _is_locked(fd, _USES_WRITE)


def _is_locked(fd: int, byte: int) -> bool:
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, byte, 1, 0)
    try:
        answer = fcntl.fcntl(fd, _F_OFD_GETLK, question)
    except OSError:
        return False
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _lock_shared(fd: int, byte: int) -> None:
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_RDLCK, 0, byte, 1, 0))
    except OSError:
        return
