# SPDX-License-Identifier: Apache-2.0
"""A loop device over a range of a file or device, straight through the kernel's calls.

`losetup` has no option for LO_FLAGS_AUTOCLEAR, and that flag is what makes the kernel take the device back when the
last one who has it open is gone, even by kill -9. It is set in the same call that binds the file: no moment without it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONTROL = Path("/dev/loop-control")
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4
_INFO = struct.Struct("<QQQQQIIII64s64s32sQQ")
_CONFIG_TAIL = bytes(64)
_TRIES = 64


class NoLoopDevice(OSError):
    """This machine (a container, a plain user) gives us no loop device."""


@contextmanager
def loop_device(fd: int, offset: int, length: int, *, writable: bool, sector_bytes: int = 512) -> Iterator[Path]:
    """Show `length` bytes of `fd` from `offset` as a block device while the block runs; raises `NoLoopDevice`."""
    device_fd, path = _attach(fd, offset, length, writable, sector_bytes)
    try:
        yield path
        if writable:
            os.fsync(device_fd)
    finally:
        os.close(device_fd)  # the last close: the kernel frees the device


def _attach(fd: int, offset: int, length: int, writable: bool, sector_bytes: int) -> tuple[int, Path]:
    flags = _AUTOCLEAR | (0 if writable else _READ_ONLY)
    info = _INFO.pack(0, 0, 0, offset, length, 0, 0, 0, flags, b"vmferry", b"", b"", 0, 0)
    config = struct.pack("<II", fd, sector_bytes) + info + _CONFIG_TAIL
    for _ in range(_TRIES):
        try:
            device_fd, path = _open_free(writable)
        except OSError as error:
            raise NoLoopDevice(error.errno, f"no loop device: {error.strerror}") from error
        try:
            fcntl.ioctl(device_fd, _LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(device_fd)
            if error.errno == errno.EBUSY:  # somebody else took it between the two calls
                continue
            raise NoLoopDevice(error.errno, f"no loop device: {error.strerror}") from error
        return device_fd, path
    raise NoLoopDevice(errno.EBUSY, "no loop device is free")


def _open_free(writable: bool) -> tuple[int, Path]:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    path = Path(f"/dev/loop{number}")
    return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC), path
