# SPDX-License-Identifier: Apache-2.0
"""Names of VMs, disks and backups as file names. See "Names" in docs/format.md."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from vmferry.engine.errors import BadInput

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST = 160
"""Leaves room in the 255 bytes of a file name for what an id and a file add."""
_CUT = 140
_ID = re.compile(r"^(?P<vm>.+)_(?P<stamp>\d{8}T\d{6}Z)_(?P<mode>full|incremental)$", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


def encode_name(name: str, *, what: str = "VM") -> str:
    """Turn a VM's or a disk's name into a file name that can neither leave its directory nor meet another."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} name {name!r} is not valid text", fix="give it a name in UTF-8") from None
    if not raw or b"\0" in raw:
        raise BadInput(f"{what} name {name!r} cannot be used", fix="give it a name without NUL, not an empty one")
    encoded = "".join(chr(byte) if _is_safe(byte, at) else f"%{byte:02X}" for at, byte in enumerate(raw))
    if len(encoded) <= _LONGEST:
        return encoded
    cut = encoded[:_CUT]
    broken = cut[-2:].rfind("%")
    if broken >= 0:
        cut = cut[: len(cut) - 2 + broken]
    return f"{cut}~{hashlib.sha256(raw).hexdigest()[:16]}"


def decode_name(encoded: str) -> str:
    """Give back the name as far as it is in the file name (a cut one ends in ``~`` and a digest)."""
    return re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), encoded.encode()).decode(
        errors="replace"
    )


def build_id(vm_dir: str, moment: datetime, mode: str) -> str:
    """Build a backup's id."""
    return f"{vm_dir}_{moment.astimezone(UTC).strftime(_STAMP)}_{mode}"


def is_id(text: str, vm_dir: str) -> bool:
    """Tell whether a directory is named like a backup of this VM."""
    match = _ID.match(text)
    return match is not None and match["vm"] == vm_dir and _moment(match["stamp"]) is not None


def id_moment(backup_id: str) -> datetime:
    """Read the time in an id."""
    match = _ID.match(backup_id)
    moment = _moment(match["stamp"]) if match else None
    if moment is None:
        raise BadInput(f"{backup_id!r} is not a backup's id", fix="it looks like web_20260131T235959Z_full")
    return moment


def id_place(backup_id: str) -> str | None:
    """Give the directory that a backup of this id belongs into; None when this is no id."""
    match = _ID.match(backup_id)
    return match["vm"] if match and _moment(match["stamp"]) is not None else None


def next_moment(now: datetime, latest: datetime | None) -> datetime:
    """Give the time for a new id: later than the latest one, whatever the clock says."""
    now = now.astimezone(UTC).replace(microsecond=0)
    return now if latest is None or now > latest else latest + timedelta(seconds=1)


def format_moment(moment: datetime) -> str:
    """Write a time as point.json does."""
    return moment.astimezone(UTC).strftime(_INSTANT)


def parse_moment(text: str) -> datetime:
    """Read what `format_moment` wrote; raises ValueError."""
    return datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """Write a time as it stands in an id."""
    return moment.astimezone(UTC).strftime(_STAMP)


def parse_stamp(text: str) -> datetime | None:
    """Read what `stamp` wrote; None when it is something else."""
    return _moment(text)


def _is_safe(byte: int, at: int) -> bool:
    return byte in _SAFE and not (at == 0 and byte in b".-")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
