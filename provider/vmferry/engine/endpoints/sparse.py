# SPDX-License-Identifier: Apache-2.0
"""Holes of a file or block device: find them, make them."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from vmferry.engine.extents import Extent
from vmferry.engine.units import MiB

ZERO_STEP_BYTES = 128 * MiB
"""Zeroed in one call at most: a device without offload writes it out, and nobody can stop it meanwhile."""

_KEEP_SIZE = 1
_PUNCH_HOLE = 2
_BLKZEROOUT = 0x127F
_ZEROS = memoryview(bytes(MiB))
_CANNOT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.EPERM}

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_fallocate.restype = ctypes.c_int


def find_extents(fd: int, size_bytes: int) -> Iterator[Extent]:
    """Stream data and holes as the file system knows them; all is data where it does not."""
    position = 0
    while position < size_bytes:
        data = _seek(fd, position, os.SEEK_DATA, size_bytes)
        if data > position:
            yield Extent(position, data - position, True)
        if data < size_bytes:
            hole = _seek(fd, data, os.SEEK_HOLE, size_bytes)
            yield Extent(data, hole - data, False)
            data = hole
        position = data


def is_hole(fd: int, offset: int, length: int) -> bool:
    """Tell whether the file system knows that nothing was ever written there."""
    return _seek(fd, offset, os.SEEK_DATA, offset + length) >= offset + length


def _seek(fd: int, position: int, whence: int, limit: int) -> int:
    try:
        return min(os.lseek(fd, position, whence), limit)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing of that kind up to the end
            return limit
        if error.errno in _CANNOT:  # block devices, old network file systems: take all for data
            return position if whence == os.SEEK_DATA else limit
        raise


def zero_range(fd: int, offset: int, length: int, sector_bytes: int = 1) -> None:
    """Make the range read as zeros, as a hole where that works.

    Punching works on files and on block devices; there the kernel does it only when the device promises zeros
    (a plain discard, BLKDISCARD, promises nothing). A range that is a hole already costs one seek.
    """
    if length <= 0 or is_hole(fd, offset, length):
        return
    end = offset + length
    first = min(-(-offset // sector_bytes) * sector_bytes, end)
    last = max(end // sector_bytes * sector_bytes, first)
    write_zeros(fd, offset, first - offset)
    for start in range(first, last, ZERO_STEP_BYTES):
        _zero_piece(fd, start, min(ZERO_STEP_BYTES, last - start))
    write_zeros(fd, last, end - last)


def _zero_piece(fd: int, offset: int, length: int) -> None:
    for attempt in (_punch, _zero_out):
        try:
            attempt(fd, offset, length)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            return
    write_zeros(fd, offset, length)


def _punch(fd: int, offset: int, length: int) -> None:
    if _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _zero_out(fd: int, offset: int, length: int) -> None:
    fcntl.ioctl(fd, _BLKZEROOUT, struct.pack("=QQ", offset, length))


def write_zeros(fd: int, offset: int, length: int) -> None:
    """Write zeros the plain way."""
    done = 0
    while done < length:
        done += os.pwrite(fd, _ZEROS[: min(len(_ZEROS), length - done)], offset + done)
