# SPDX-License-Identifier: Apache-2.0
"""Raw disk images: regular files and block devices."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from vmferry.engine.endpoints import blockdevice, sparse
from vmferry.engine.endpoints.filelock import is_written, lock_for_writing
from vmferry.engine.errors import (
    BadInput,
    EngineError,
    NoSpace,
    ShortRead,
    SourceError,
    TargetError,
    TargetInUse,
    TargetTooSmall,
    Unreadable,
)
from vmferry.engine.extents import Extent
from vmferry.engine.units import format_bytes

_FULL = {errno.ENOSPC, errno.EDQUOT}


class FileEndpoint:
    """A raw image. All connections share one descriptor: every call says its own offset."""

    max_connections = 64

    def __init__(self, path: str, fd: int, *, reads_zero: bool = False, writable: bool = False) -> None:
        self.name = path
        self.reads_zero = reads_zero
        self.writable = writable
        self._fd = fd
        status = os.fstat(fd)
        self._is_device = stat.S_ISBLK(status.st_mode)
        self.size = blockdevice.read_size(fd) if self._is_device else status.st_size
        self.sector_bytes = blockdevice.read_sector_bytes(fd) if self._is_device else 1
        self._place = os.path.realpath(path)
        self._identity = self._read_identity()
        self._flush_error: EngineError | None = None

    @property
    def fd(self) -> int:
        """The open descriptor."""
        return self._fd

    @property
    def identity(self) -> str:
        """Read anew each time: a file that somebody changed or removed under us is another one."""
        if self._fd >= 0:
            self._identity = self._read_identity()
        return self._identity

    def extents(self, since: str | None = None) -> Iterable[Extent]:
        """Stream data and holes; a raw image keeps no dirty bitmaps."""
        if since is not None:
            raise BadInput(f"{self.name} is a raw image and has no dirty bitmap {since!r}", fix="leave the bitmap out")
        return sparse.find_extents(self._fd, self.size)

    def connect(self) -> FileConnection:
        """Give a connection; they share the descriptor."""
        return FileConnection(self)

    def sync(self) -> None:
        """Put everything on stable storage.

        A failed fdatasync leaves the lost pages marked clean, so that the next one would succeed for nothing:
        after one failure none may succeed.
        """
        if self._flush_error is None:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._flush_error = write_error(error, f"cannot flush {self.name}")
        if self._flush_error is not None:
            raise self._flush_error

    def close(self) -> None:
        """Close the descriptor; the locks end with it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_identity(self) -> str:
        if self._is_device:
            return f"{self._place} size={self.size} {blockdevice.read_lasting_name(self._fd)}".rstrip()
        return describe_file(self._place, os.fstat(self._fd), writable=self.writable)


def describe_file(place: str, status: os.stat_result, *, writable: bool) -> str:
    """Say what makes a file this file: as a source also what it holds, as a target that it still has a name."""
    inode = f"{place} dev={status.st_dev} inode={status.st_ino}"
    if writable:
        return inode if status.st_nlink else f"{inode} (deleted)"
    return f"{inode} size={status.st_size} mtime_ns={status.st_mtime_ns}"


class FileConnection:
    """Positioned reads and writes on the endpoint's descriptor."""

    def __init__(self, endpoint: FileEndpoint) -> None:
        self._endpoint = endpoint

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer or raise."""
        done = 0
        try:
            while done < len(buffer):
                count = os.preadv(self._endpoint.fd, [buffer[done:]], offset + done)
                if not count:
                    raise ShortRead(
                        f"{self._endpoint.name} ends at {offset + done}, expected {len(buffer) - done} more"
                    )
                done += count
        except OSError as error:
            what = f"cannot read {self._endpoint.name} at offset {offset + done}: {error.strerror}"
            raise SourceError(what, fix="check the disk and its kernel log") from error

    def write(self, offset: int, data: memoryview) -> None:
        """Write all or raise."""
        done = 0
        self._refuse_growth(offset, len(data))
        try:
            while done < len(data):
                done += os.pwrite(self._endpoint.fd, data[done:], offset + done)
        except OSError as error:
            raise write_error(error, f"cannot write {self._endpoint.name} at offset {offset + done}") from error

    def zero(self, offset: int, length: int) -> None:
        """Punch a hole, or write zeros where there are no holes."""
        self._refuse_growth(offset, length)
        try:
            sparse.zero_range(self._endpoint.fd, offset, length, self._endpoint.sector_bytes)
        except OSError as error:
            raise write_error(error, f"cannot zero {self._endpoint.name} at offset {offset}") from error

    def flush(self) -> None:
        """Put everything on stable storage."""
        self._endpoint.sync()

    def close(self) -> None:
        """Nothing of its own to give back."""

    def _refuse_growth(self, offset: int, length: int) -> None:
        if offset + length > self._endpoint.size:
            raise TargetError(f"{self._endpoint.name}: a write to {offset + length} is behind its end")


def write_error(error: OSError, what: str) -> EngineError:
    """Turn what the kernel said about a write into the error that tells what to do."""
    if error.errno in _FULL:
        return NoSpace(f"{what}: {error.strerror}", fix="free space, then run it again: it goes on where it stopped")
    return TargetError(f"{what}: {error.strerror}", fix="check the disk and its kernel log")


def open_file_source(path: str) -> FileEndpoint:
    """Open a raw image for reading."""
    fd = _open(path, os.O_RDONLY)
    try:
        _refuse_other_kinds(path, fd)
        if is_written(fd):
            raise Unreadable(
                f"{path} is open for writing", fix="its bytes would change while we read: shut down the VM"
            )
        return FileEndpoint(path, fd)
    except BaseException:
        os.close(fd)
        raise


def open_file_target(path: str, size_bytes: int) -> FileEndpoint:
    """Open a raw image for writing `size_bytes`; a file that is not there, or empty, becomes a hole of that size."""
    if Path(path).is_block_device():
        return _open_device_target(path, size_bytes)
    fd, created = _open_or_create(path)
    try:
        _refuse_other_kinds(path, fd)
        lock_for_writing(fd, path)
        size = os.fstat(fd).st_size
        if size == 0 and size_bytes:
            _set_size(path, fd, size_bytes)
        elif size < size_bytes:
            raise too_small(path, size, size_bytes, "name another file, or make this one larger with truncate")
        hollow = not any(not extent.zero for extent in sparse.find_extents(fd, max(size, size_bytes)))
        return FileEndpoint(path, fd, reads_zero=hollow, writable=True)
    except BaseException:
        os.close(fd)
        if created:
            Path(path).unlink()
        raise


def too_small(name: str, size: int, needed: int, fix: str) -> TargetTooSmall:
    """Say by how much the target is too small."""
    sizes = f"{format_bytes(size)} ({size} bytes), the source has {format_bytes(needed)} ({needed} bytes)"
    return TargetTooSmall(f"{name} is too small: it has {sizes}", fix=fix)


def _open_device_target(path: str, size_bytes: int) -> FileEndpoint:
    try:
        fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            user = blockdevice.describe_user(Path(path).stat().st_rdev)
            raise TargetInUse(f"{path} is {user}", fix="unmount or release it, or name another device") from error
        raise _open_error(path, error) from error
    endpoint = FileEndpoint(path, fd, writable=True)
    if blockdevice.is_read_only(fd):
        endpoint.close()
        raise Unreadable(f"{path} is read-only", fix="blockdev --setrw, or name another device")
    if endpoint.size < size_bytes:
        endpoint.close()
        raise too_small(path, endpoint.size, size_bytes, "use a larger device")
    return endpoint


def _open_or_create(path: str) -> tuple[int, bool]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _open(path, os.O_RDWR), False
    except OSError as error:
        raise _open_error(path, error) from error
    sync_folder(path)
    return fd, True


def _set_size(path: str, fd: int, size_bytes: int) -> None:
    try:
        os.ftruncate(fd, size_bytes)
    except OSError as error:
        if error.errno == errno.EFBIG:
            fix = "use a file system that takes larger files"
            what = f"{path}: its file system cannot hold a file of {format_bytes(size_bytes)}"
            raise TargetTooSmall(what, fix=fix) from error
        raise write_error(error, f"cannot make {path} {size_bytes} bytes long") from error


def sync_folder(path: str) -> None:
    """Make a new name last over a power cut."""
    fd = os.open(Path(path).resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> int:
    try:
        # O_NONBLOCK: a named pipe must not hang us before we can say what it is.
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _open_error(path, error) from error


def _open_error(path: str, error: OSError) -> Unreadable:
    if error.errno == errno.EISDIR:
        return Unreadable(f"{path} is a directory", fix="name a file in it")
    fixes = {errno.ENOENT: "check the path", errno.EACCES: "run as a user that may open it, or change its mode"}
    return Unreadable(f"cannot open {path}: {error.strerror}", fix=fixes.get(error.errno or 0, ""))


def _refuse_other_kinds(path: str, fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return
    kind = "a directory" if stat.S_ISDIR(mode) else "no file and no block device"
    raise Unreadable(f"{path} is {kind}", fix="name a disk image or a block device")
