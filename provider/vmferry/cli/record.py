# SPDX-License-Identifier: Apache-2.0
"""What a person began at a shell and did not end: so that the same command goes on with it, and others may judge it.

A run's name is made once and kept in a directory of its own until the run has ended and nothing of it is left. A lock
that dies with its process tells whether somebody is at it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import secrets
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmferry.cli.runs import state_dir
from vmferry.platforms.runs import RunId, is_tag_of

_RECORD = "record.json"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Record:
    """One unfinished run of this user on this machine."""

    directory: Path
    run: RunId
    vm: str
    site: str
    command: str
    """What to type to go on with it."""

    @property
    def is_running(self) -> bool:
        """Tell whether its process lives."""
        from vmferry.vault.lock import is_free

        return not is_free(self.directory / _LOCK)

    def forget(self) -> None:
        """Let it go: nothing of it is left, or nothing that could be gone on with."""
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def recorded(what: str, vm: str, site: str, **means: Any) -> Iterator[tuple[Record, bool]]:
    """Begin a run, or find the one that the same command began; gives it, and whether it goes on.

    Two commands are the same when all that decides about their result (`means`) is. Raises `VaultBusy`, naming the
    process, when that one still runs.
    """
    from vmferry.vault.lock import Hold, locked

    key = json.dumps([what, vm, site, means], sort_keys=True, default=str)
    directory = runs_dir() / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / _LOCK, Hold.EXCLUSIVE, f"{what} by vmferry {what}", vm=vm):
        found = _read(directory)
        yield (found, True) if found else (_begin(directory, what, vm, site), False)


def runs_dir() -> Path:
    """Give the directory of the records."""
    return state_dir().parent / "runs"


def list_records() -> list[Record]:
    """List what this user began on this machine and did not end."""
    root = runs_dir()
    found = [_read(path) for path in sorted(root.iterdir())] if root.is_dir() else []
    return [one for one in found if one is not None]


def find_record(owner: str) -> Record | None:
    """Look up the record of a run, as a tag of a site calls it."""
    return next((one for one in list_records() if is_tag_of(RunId(owner).tag(), one.run)), None)


def is_dead(owner: str) -> bool:
    """Tell whether a run is one of ours whose process is gone; of others nothing is known.

    One of ours without a record has ended: a request of it that was under way when it was killed may have been heard
    by the site later than all that came after it.
    """
    found = find_record(owner)
    return not found.is_running if found is not None else owner.startswith(f"{_maker()}/")


def _begin(directory: Path, what: str, vm: str, site: str) -> Record:
    now = datetime.now(UTC)
    # Two in one second have two directories.
    run = RunId.of(_maker(), what, vm, f"{now:%Y%m%dT%H%M%SZ}-{directory.name[-4:]}")
    record = Record(directory, run, vm, site, shlex.join(["vmferry", *sys.argv[1:]]))
    fresh = directory / f"{_RECORD}.new"
    body = {**asdict(record), "directory": str(directory), "run": run.text}
    fresh.write_text(json.dumps(body, indent=2))
    fresh.replace(directory / _RECORD)
    return record


def _read(directory: Path) -> Record | None:
    try:
        raw = json.loads((directory / _RECORD).read_bytes())
        return Record(directory, RunId(raw["run"]), raw["vm"], raw["site"], raw["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _maker() -> str:
    """Say whose runs these are: this user's, of this machine and of these records; a copy of them makes others."""
    path = runs_dir() / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"id.{secrets.token_hex(4)}")
        fresh.write_text(secrets.token_hex(4))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return f"cli:{_user()}@{socket.gethostname()}-{path.read_text()}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
