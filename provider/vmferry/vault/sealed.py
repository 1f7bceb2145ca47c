# SPDX-License-Identifier: Apache-2.0
"""Sealed JSON files: the last member is a checksum over every byte of the file, and they appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmferry.engine.errors import NoSpace, Unreadable
from vmferry.vault.errors import TornPoint

_NO_CHECKSUM = b"0" * 64
_TAIL = re.compile(rb'  "checksum": "([0-9a-f]{64})"\n}\n\Z')


def render(body: Mapping[str, Any]) -> bytes:
    """Turn into JSON with its checksum as the last member."""
    unsealed = {**body, "checksum": _NO_CHECKSUM.decode()}
    raw = json.dumps(unsealed, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    digest = hashlib.sha256(raw).hexdigest().encode()
    return raw[: -len(_NO_CHECKSUM) - 4] + digest + raw[-4:]


def checksum_of(raw: bytes) -> str | None:
    """Give the checksum that a file carries, if it is the right one."""
    match = _TAIL.search(raw)
    if match is None:
        return None
    unsealed = raw[: match.start(1)] + _NO_CHECKSUM + raw[match.end(1) :]
    found = match[1].decode()
    return found if hashlib.sha256(unsealed).hexdigest() == found else None


def parse(raw: bytes, name: str) -> dict[str, Any]:
    """Read what `render` made; raises `TornPoint` when a single bit is not as it was."""
    if checksum_of(raw) is None:
        raise TornPoint(
            f"{name} is torn or was edited: its checksum does not fit",
            fix="bring it back from a copy of the vault; do not mend it by hand",
        )
    body: dict[str, Any] = json.loads(raw)
    del body["checksum"]
    return body


def read(path: Path) -> dict[str, Any]:
    """Read and check a sealed file."""
    return parse(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Read a small file, or say clearly why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def write(path: Path, body: Mapping[str, Any]) -> None:
    """Write a sealed file: temporary name, fsync, rename, fsync of the directory."""
    write_bytes(path, render(body))


def write_bytes(path: Path, raw: bytes) -> None:
    """Write a small file so that it is whole or absent, and there after a power cut."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_dir(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise as_no_space(error, path) from error


def sync_dir(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make a file's bytes survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def as_no_space(error: OSError, path: Path) -> Exception:
    """Turn a full disk into the error that says so, and leave other errors alone."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{path}: no space left", fix="free some space and run the same again: it goes on from there")
    return error
