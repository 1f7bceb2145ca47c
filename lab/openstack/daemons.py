"""Daemons that outlive who started them, each known by its pid and the moment of its birth, ended with its children.

A pid alone may be somebody else's by now. Each daemon leads a session of its own: workers of nova-conductor and a child
of cinder-volume outlive a parent that was killed, and the session still names them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.openstack.place import HOST, LabError, Place

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that runs until it is told to end."""

    name: str
    command: Sequence[str]
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def start(place: Place, daemon: Daemon) -> bool:
    """Start it unless it lives; tells whether it was started. A port that somebody else has is refused."""
    if pid_of(place, daemon.name) is not None:
        return False
    if daemon.port is not None and is_open(daemon.port):
        raise LabError(f"{daemon.name}: somebody else has port {daemon.port}; is another lab up on this machine?")
    with place.log(daemon.name).open("ab") as log:
        child = subprocess.Popen(
            daemon.command,
            env={**place.environment(), **daemon.environment},
            cwd=place.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _record(place, daemon.name).write_text(f"{child.pid} {_birth(child.pid)} {_boot()}\n")
    return True


def pid_of(place: Place, name: str) -> int | None:
    """Give the pid of a daemon that lives."""
    recorded = _read_record(place, name)
    if recorded is None:
        return None
    pid, birth, boot = recorded
    return pid if boot == _boot() and _birth(pid) == birth else None


def started_at(place: Place, name: str) -> float:
    """Give the moment when a daemon was started last."""
    path = _record(place, name)
    return path.stat().st_mtime if path.exists() else 0.0


def stop(place: Place, names: Iterable[str], *, patience_s: float) -> None:
    """Ask all to end at once, and kill what is left of each after a while. May be called again."""
    names = list(names)
    alive = {name: pid for name in names if (pid := pid_of(place, name)) is not None}
    for pid in alive.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(pid_of(place, name) for name in alive) and time.monotonic() < deadline:
        time.sleep(0.1)
    for name in names:
        _end_session(place, name)


def members(pid: int) -> list[int]:
    """List the processes of the session that a daemon leads or led."""
    return [other for other, stat in _all_stats() if int(stat[3]) == pid and stat[0] != "Z"]


def memory_mib(pids: Iterable[int]) -> int:
    """Give the memory that processes share fairly (PSS)."""
    total_kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total_kib += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total_kib // 1024


def is_open(port: int) -> bool:
    """Tell whether somebody listens."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2):
        return True
    return False


def wait_until(place: Place, daemon: str, limit_s: float, check: Callable[[], bool]) -> None:
    """Wait for a daemon; one that ends, or takes too long, is told with the end of its log."""
    deadline = time.monotonic() + limit_s
    while not check():
        if pid_of(place, daemon) is None:
            place.fail(f"{daemon} has ended", daemon)
        if time.monotonic() > deadline:
            place.fail(f"{daemon} is not ready after {limit_s:g} s", daemon)
        time.sleep(0.2)


def _end_session(place: Place, name: str) -> None:
    recorded = _read_record(place, name)
    if recorded is None:
        return
    pid, birth, boot = recorded
    # No birth: the daemon itself is gone, and its number cannot be given away while its session has members.
    if boot == _boot() and _birth(pid) in (birth, ""):
        while left := members(pid):
            for one in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            time.sleep(0.02)
    _record(place, name).unlink(missing_ok=True)


def _record(place: Place, name: str) -> Path:
    return place.root / "run" / f"{name}.pid"


def _read_record(place: Place, name: str) -> tuple[int, str, str] | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid, birth, boot = _record(place, name).read_text().split()
        return int(pid), birth, boot
    return None


def _boot() -> str:
    return _BOOT.read_text().strip()


def _birth(pid: int) -> str:
    """Give the tick at which a process began; empty when it is gone, or dead and not yet buried."""
    stat = _stat(pid)
    return stat[19] if stat and stat[0] != "Z" else ""


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        # The second field is a name in parentheses, which may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))):
            yield int(path.name), stat
