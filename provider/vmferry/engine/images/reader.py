# SPDX-License-Identifier: Apache-2.0
"""The smallest way to look at bytes: a size and `read_at`, over a file, a device or any endpoint."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Protocol, Union

from vmferry.engine.endpoint import Endpoint
from vmferry.engine.errors import NotADiskImage, ShortRead, SourceLost, Unreadable


class ByteReader(Protocol):
    """Bytes that can be looked at, anywhere in them."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes; fewer only where the end is nearer, none behind it."""


class FileReader:
    """A regular file or a block device, opened once: a later swap of the name changes nothing."""

    def __init__(self, path: Union[str, Path], name: str | None = None) -> None:
        self.path = Path(path)
        self._name = name if name is not None else str(path)
        self._fd = -1
        self._fd = _open_plain(self.path, self._name)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self._name

    @property
    def size(self) -> int:
        """Bytes in the file or on the device."""
        return self._size

    def fileno(self) -> int:
        """Give the descriptor, so that a child program can read this very file."""
        return self._fd

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset`."""
        parts = []
        while length > 0:
            try:
                part = os.pread(self._fd, min(length, 1 << 24), offset)
            except OSError as error:
                raise SourceLost(f"{self._name}: cannot read at {offset}: {error.strerror}") from error
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EndpointReader:
    """Any readable endpoint (NBD, HTTP, imageio, ...), seen as a `ByteReader` over one connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection = endpoint.connect()

    @property
    def name(self) -> str:
        """What the endpoint calls itself."""
        return self._endpoint.name

    @property
    def size(self) -> int:
        """Bytes a guest sees."""
        return self._endpoint.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset`."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        if buffer:
            self._connection.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def close(self) -> None:
        """Give the connection back; the endpoint stays open. May be called twice."""
        self._connection.close()

    def __enter__(self) -> EndpointReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BytesReader:
    """Bytes we already hold, e.g. the first decompressed MiB of an image."""

    def __init__(self, data: bytes, name: str, size_bytes: int | None = None) -> None:
        self._data = data
        self.name = name
        self.size = len(data) if size_bytes is None else size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset`."""
        return self._data[offset : offset + length]


def read_exactly(reader: ByteReader, offset: int, length: int) -> bytes:
    """Read `length` bytes or raise `ShortRead`."""
    data = reader.read_at(offset, length)
    if len(data) != length:
        raise ShortRead(f"{reader.name}: ends before byte {offset + length}", fix="is the file complete?")
    return data


def _open_plain(path: Path, name: str) -> int:
    # O_NONBLOCK: opening a FIFO that nobody writes to must not hang us.
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            what = "a directory" if stat.S_ISDIR(mode) else "no plain file"
            raise NotADiskImage(f"{name}: is {what}", fix="give a disk image or a block device")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(
            f"{name}: cannot be read: {error.strerror}", fix="check the path and its permissions"
        ) from error
    except ValueError as error:
        raise Unreadable(f"{name!r}: is no path: {error}") from error
