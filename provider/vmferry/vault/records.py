# SPDX-License-Identifier: Apache-2.0
"""Small sealed notes beside backups: when one was verified, and that one is held."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vmferry.engine.errors import EngineError
from vmferry.vault import sealed
from vmferry.vault.catalogue import Entry
from vmferry.vault.layout import HOLD
from vmferry.vault.links import Fault
from vmferry.vault.names import format_moment

VERIFIED = ".verified"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Verified:
    """When a backup was last verified, and how."""

    when: str
    verdict: str
    modes: tuple[str, ...]


def read_record(entry: Entry) -> Verified | None:
    """Read when this generation of the backup was last verified; None: never, or nobody knows."""
    try:
        raw = sealed.read(_record_path(entry))
        if raw["checksum_of_point"] != entry.checksum:
            return None
        return Verified(str(raw["when"]), str(raw["verdict"]), tuple(raw["modes"]))
    except (EngineError, KeyError):
        return None


def write_record(entry: Entry, verdict: str, modes: Sequence[str]) -> None:
    """Write down that a backup was verified; a vault that cannot be written goes without."""
    path = _record_path(entry)
    try:
        path.parent.mkdir(exist_ok=True)
        body = {"checksum_of_point": entry.checksum, "when": _now(), "verdict": verdict, "modes": list(modes)}
        sealed.write(path, body)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise


def check_record(entry: Entry) -> Iterator[Fault]:
    """Find a record that is torn; the verification that found it writes a new one."""
    path = _record_path(entry)
    yield from _check_seal(entry, path, f"{VERIFIED}/{entry.id}")


def hold(entry: Entry, reason: str) -> None:
    """Keep prune away from a backup. May be called twice: the first reason stays."""
    if not entry.held:
        sealed.write(entry.dir / HOLD, {"since": _now(), "reason": reason})


def release(entry: Entry) -> None:
    """Let prune decide about the backup again. May be called twice."""
    (entry.dir / HOLD).unlink(missing_ok=True)


def check_hold(entry: Entry) -> Iterator[Fault]:
    """Find a hold that is torn; the backup is held all the same."""
    yield from _check_seal(entry, entry.dir / HOLD, HOLD)


def _check_seal(entry: Entry, path: Path, name: str) -> Iterator[Fault]:
    if not path.exists():
        return
    try:
        sealed.read(path)
    except EngineError as error:
        yield Fault(entry.id, None, name, error.what)


def _record_path(entry: Entry) -> Path:
    return entry.dir.parent / VERIFIED / entry.id


def _now() -> str:
    return format_moment(datetime.now(UTC))
