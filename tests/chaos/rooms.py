"""A room of its own for each test: scratch, state and home directories, and a look at what is left in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from lab.jobs import wait_until

GONE_S = 20.0
"""A killed process needs the kernel for a moment before it is gone."""


class Room:
    """Everything that is started in it can be told by its path, which is in its environment or its arguments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scratch, self.state, self.home = path / "scratch", path / "state", path / "home"
        for folder in (self.scratch, self.state, self.home):
            folder.mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a program in this room gets."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PYTEST"))},
            "TMPDIR": str(self.scratch),
            "XDG_STATE_HOME": str(self.state),
            "XDG_RUNTIME_DIR": str(self.scratch),
            "HOME": str(self.home),
        }

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start a vmferry command; what is started is the process itself, with no shell before it."""
        command = [sys.executable, str(Path(sys.executable).with_name("vmferry")), *(str(word) for word in words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a vmferry command to its end."""
        process = self.start(*words)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self, known: Collection[int] = ()) -> dict[int, str]:
        """List the processes of this room besides the `known` ones, and zombies that are only waited for."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in {os.getpid(), *known}:
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes()
                    if str(self.path).encode() in words + (entry / "environ").read_bytes():
                        found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def require_no_process(self, known: Collection[int] = ()) -> None:
        """Fail when something still runs here after a while."""
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not self.processes(known), "all is gone", patience_s=GONE_S)
        assert self.processes(known) == {}

    def require_nothing_left(self, known: Collection[int] = (), *, sockets: Collection[Path] = ()) -> None:
        """Fail when a process, a loop device, a socket or a file of a program that ended is still here."""
        self.require_no_process(known)
        assert list(_files(self.scratch)) == []
        assert [path for path in _files(self.state) if path.is_file() or "jobs" in path.parent.name] == []
        assert list(_files(self.home)) == []
        devices = subprocess.run(["losetup", "-nlO", "NAME,BACK-FILE"], capture_output=True, text=True, check=True)
        assert str(self.path) not in devices.stdout
        names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()]
        mine = {name for name in names if name.startswith(str(self.path))}
        assert mine <= {str(path) for path in sockets}


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*"))
