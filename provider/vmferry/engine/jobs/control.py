# SPDX-License-Identifier: Apache-2.0
"""The control file: what somebody outside wants of a running job, read live by it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.engine.jobs.directory import JobDirectory, read_json, write_json


def set_rate(directory: JobDirectory, bytes_per_s: int | None) -> None:
    """Change how fast the job may go; None lifts the limit. A daily window of the job still beats it."""
    if bytes_per_s is not None and bytes_per_s <= 0:
        raise BadInput(
            f"a rate of {bytes_per_s} bytes a second is none", fix="give a positive number, or none to lift it"
        )
    _update(directory, bytes_per_s=bytes_per_s)


def request_cancel(directory: JobDirectory) -> None:
    """Ask the job to stop."""
    _update(directory, cancel=True)


def clear_cancel(directory: JobDirectory) -> None:
    """Take back an old request to stop, because the job is started again."""
    if is_cancel_requested(directory):
        _update(directory, cancel=False)


def is_cancel_requested(directory: JobDirectory) -> bool:
    """Tell whether somebody asked the job to stop."""
    return bool((read_json(directory.control) or {}).get("cancel"))


def _update(directory: JobDirectory, **changes: Any) -> None:
    with _exclusive(directory.path):
        wanted = read_json(directory.control) or {}
        wanted.update(changes)
        write_json(directory.control, wanted)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Keep other writers of the control file away; a lock on the directory itself needs no file more."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
