"""Runs a program in a room of its own, and leaves nothing of either behind: no process, no file, no socket.

The room is one directory for everything that is temporary. A signal, at whatever moment, is only noted here; then all
that descends from us is killed and the room is removed. So nobody in the room has to be careful about signals.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmferry.engine.qemu.child import start_bound

_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def keep(module: str, *arguments: str, link: Path | None = None) -> int:
    """Run ``python -m module ROOM arguments`` and give its exit code; 128 + N when signal N ended it.

    `link`, when wanted, leads to the room as long as there is one.
    """
    caught: list[int] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: caught.append(number))
    # Whose parent has died is our child then: nothing that was started in the room gets away.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with _room(link) as room:
        child = _start(room, [module, str(room), *arguments])
        try:
            code = _wait(child, caught)
            left = describe(descendants(os.getpid()) - {child.pid})
        finally:
            end_descendants(child)
    if caught:
        print(f"\n{module}: stopped; nothing is left", file=sys.stderr, flush=True)
        return 128 + caught[0]
    if left:
        print(f"{module}: this was still running, and is killed now: {'; '.join(left)}", file=sys.stderr, flush=True)
        return code or 1
    return code


def descendants(pid: int) -> set[int]:
    """Find what was started by a process, and by what that started, and so on."""
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for parent in fresh for child in _children(parent)} - found
        found |= fresh
    return found


def describe(pids: set[int]) -> list[str]:
    """Give the command lines of processes that still do something."""
    words = []
    for pid in sorted(pids):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            words += [line[:120]] if line else []
    return words


def end_descendants(child: subprocess.Popen[bytes]) -> None:
    """Kill all that descends from us, however fast it starts more, and wait until the last one is gone."""
    while True:
        alive = descendants(os.getpid())
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.wait()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not alive:
            return
        time.sleep(0.02)


def _children(pid: int) -> Iterator[int]:
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            yield from map(int, (task / "children").read_text().split())


def _tasks(pid: int) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


@contextlib.contextmanager
def _room(link: Path | None) -> Iterator[Path]:
    with _only_one(link) if link else contextlib.nullcontext():
        room = Path(tempfile.mkdtemp(prefix="vmferry-lab-"))
        try:
            if link is not None:
                link.symlink_to(room)
            yield room
        finally:
            if link is not None:
                link.unlink()
            shutil.rmtree(room)


@contextlib.contextmanager
def _only_one(link: Path) -> Iterator[None]:
    """Make way for a link; one that is there is of somebody who was killed, or somebody has the lock."""
    link.parent.mkdir(parents=True, exist_ok=True)
    place = os.open(link.parent, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        link.unlink(missing_ok=True)
        yield
    except BlockingIOError:
        sys.exit(f"{link}: somebody runs this already; end that first")
    finally:
        os.close(place)


def _start(room: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    homes = {f"XDG_{name}_HOME": str(room / "xdg" / name.lower()) for name in ("STATE", "CACHE", "CONFIG")}
    environment = {**os.environ, **homes, "TMPDIR": str(room), "PYTHONUNBUFFERED": "1"}
    # A session of its own: a Ctrl-C is for us.
    command = [sys.executable, "-m", *words]
    return start_bound(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def _wait(child: subprocess.Popen[bytes], caught: Sequence[int]) -> int:
    while not caught:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(0.2)
    return 0
