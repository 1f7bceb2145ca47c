# SPDX-License-Identifier: Apache-2.0
"""Temporary raw copies that have no name, so that they vanish with the process, however it ends."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmferry.engine.errors import NoSpace, SourceError, ToolMissing
from vmferry.engine.filesystems.programs import bind_to_us
from vmferry.engine.images.facts import ImageFacts
from vmferry.engine.images.reader import ByteReader

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


@contextmanager
def scratch_copy(reader: ByteReader, work_dir: Path | None) -> Iterator[int]:
    """Copy all of a reader's data, sparsely, and give a descriptor of the copy."""
    with tempfile.TemporaryFile(dir=work_dir, prefix="vmferry-") as file:
        fd = file.fileno()
        try:
            os.ftruncate(fd, reader.size)
            for offset in range(0, reader.size, _CHUNK):
                data = reader.read_at(offset, _CHUNK)
                if data != _ZEROS[: len(data)]:
                    _write_all(fd, data, offset)
        except OSError as error:
            raise _explain(error, reader.name, work_dir) from error
        yield fd


@contextmanager
def scratch_raw(image_fd: int, facts: ImageFacts, work_dir: Path | None) -> Iterator[int]:
    """Turn an image that `inspect` accepted into raw bytes and give a descriptor of them."""
    if shutil.which("qemu-img") is None:
        raise ToolMissing(f"{facts.name}: the program qemu-img is not installed", fix="install the package qemu-utils")
    with tempfile.TemporaryFile(dir=work_dir, prefix="vmferry-") as file:
        os.ftruncate(file.fileno(), facts.virtual_size_bytes or 0)
        source = f"driver={facts.format},file.driver=file,file.locking=off,file.filename=/proc/self/fd/{image_fd}"
        target = f"driver=raw,file.driver=file,file.locking=off,file.filename=/proc/self/fd/{file.fileno()}"
        command = bind_to_us(["qemu-img", "convert", "-n", "-S", "64k", "--target-is-zero"])
        done = subprocess.run(
            [*command, "--image-opts", source, "--target-image-opts", target],
            capture_output=True,
            pass_fds=(image_fd, file.fileno()),
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            kind = NoSpace if os.strerror(errno.ENOSPC) in said else SourceError
            raise kind(f"{facts.name}: qemu-img could not read it through: {said[-300:]}")
        yield file.fileno()


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _explain(error: OSError, name: str, work_dir: Path | None) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    place = work_dir or tempfile.gettempdir()
    return NoSpace(f"{name}: {place} has no room for the temporary copy", fix="give a roomier work directory")
