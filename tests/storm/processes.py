"""Which processes run below which, read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it was a moment ago."""

    pid: int
    parent: int
    born: int
    name: str
    command: str

    def kill(self) -> bool:
        """Kill -9; False when it is gone already. Never another one that got its id."""
        now = read_process(self.pid)
        if now is None or now.born != self.born:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def read_process(pid: int) -> Process | None:
    """Look at one; None when it is gone, or dead and only waited for."""
    folder = Path(f"/proc/{pid}")
    try:
        head, _, tail = (folder / "stat").read_text(errors="replace").rpartition(")")
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = tail.split()
    if fields[0] in ("Z", "X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]), head.partition("(")[2], command)


def list_processes() -> list[Process]:
    """List all there are."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [found for pid in pids if (found := read_process(pid)) is not None]


def below(roots: Collection[int], among: Collection[Process]) -> list[Process]:
    """Give all descendants of these processes, nearest first."""
    found: list[Process] = []
    parents = set(roots)
    while parents:
        children = [one for one in among if one.parent in parents]
        found += children
        parents = {one.pid for one in children}
    return found


def naming(path: Path) -> Iterator[Process]:
    """Give the processes whose arguments or environment name a directory, besides ourselves."""
    for one in list_processes():
        if one.pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{one.pid}/environ").read_bytes()
            if str(path) in one.command or str(path).encode() in environment:
                yield one
