"""Looks for secrets where none may be: files, the database, and the processes of this machine that are ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

EVERY_S = 0.05
_ENCRYPTED = frozenset({"connection", "connection_test_request", "variable"})
"""Tables whose secrets are encrypted; the file as a whole is looked at all the same."""


class ProcessWatch(threading.Thread):
    """Keeps what command lines and environments of our descendants say, looked at 20 times a second."""

    def __init__(self) -> None:
        super().__init__(name="process watch", daemon=True)
        self.seen: dict[bytes, str] = {}
        self.looks = 0
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(EVERY_S):
            self.looks += 1
            for pid in _descendants(os.getpid()):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):  # it has ended
                        self.seen.setdefault(Path(f"/proc/{pid}/{name}").read_bytes(), f"{name} of {pid}")

    def __enter__(self) -> ProcessWatch:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.set()
        self.join()

    def find(self, secrets: Mapping[str, str]) -> list[str]:
        """Say what was seen where."""
        return [
            f"{what}: {where} ({_program(said)})"
            for said, where in self.seen.items()
            for what, secret in secrets.items()
            if secret.encode() in said
        ]


def find_in_files(places: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """Say which files hold which secret."""
    files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    return [
        f"{what}: {path}"
        for path in files
        for what, secret in secrets.items()
        if secret.encode() in _read(path)
    ]  # fmt: skip


def find_in_database(path: Path, secrets: Mapping[str, str]) -> list[str]:
    """Say which columns hold which secret, compressed ones as well."""
    return sorted(
        {
            f"{what}: {table}.{column}"
            for table, column, value in _values(path)
            for what, secret in secrets.items()
            if secret.encode() in value
        }
    )


def count_values(path: Path, table: str) -> int:
    """Count what a table says: that a look found nothing means little where there is nothing."""
    return sum(1 for name, _, _ in _values(path) if name == table)


def _values(path: Path) -> Iterator[tuple[str, str, bytes]]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table in _ENCRYPTED:
                continue
            rows = database.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    yield table, column, _plain(value)


def _plain(value: object) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    with contextlib.suppress(zlib.error):
        return zlib.decompress(raw)
    return raw


def _read(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):  # the log of a part that was turned over
        return path.read_bytes()
    return b""


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(entry.path, "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, left = [root], [root]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _program(said: bytes) -> str:
    return said.replace(b"\0", b" ")[:80].decode(errors="replace")
