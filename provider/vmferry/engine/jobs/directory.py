# SPDX-License-Identifier: Apache-2.0
"""A job's directory: which files are in it, and how they are written so that nobody ever sees half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput, Unreadable


@dataclass(frozen=True)
class JobDirectory:
    """The files of one job. Nothing is opened or made by holding one."""

    path: Path
    """The directory; its name is the job's id."""

    @property
    def spec(self) -> Path:
        """What was asked; written once."""
        return self.path / "job.json"

    @property
    def lock(self) -> Path:
        """Empty; the running process holds a lock on it, which the kernel frees however that process ends."""
        return self.path / "lock"

    @property
    def run(self) -> Path:
        """Which process runs it, and how often it was begun."""
        return self.path / "run.json"

    @property
    def control(self) -> Path:
        """What somebody wants of the running job: {rate, cancel}."""
        return self.path / "control"

    @property
    def progress(self) -> Path:
        """How far it is."""
        return self.path / "progress.json"

    @property
    def journal(self) -> Path:
        """What is copied for certain; a new start goes on from there."""
        return self.path / "journal"

    @property
    def result(self) -> Path:
        """How it ended; there only when it ended."""
        return self.path / "result.json"

    @property
    def reserve(self) -> Path:
        """Blocks kept for the result, so that it can be written on a full disk."""
        return self.path / ".reserve"

    @property
    def log(self) -> Path:
        """Lines for people."""
        return self.path / "log"


def write_json(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Put a JSON object in the place of a file in one step: a reader finds the old one or the new one, whole.

    `durable`: it also survives a power cut. Only one process may write a given file at a time.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when the file is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}", fix="check its owner and mode") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(
            f"{path} is not JSON ({error})", fix="somebody edited it; forget the job and start it anew"
        ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds no JSON object", fix="somebody edited it; forget the job and start it anew")
    return value
