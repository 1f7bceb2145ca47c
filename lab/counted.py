"""A real nbdkit that serves a disk over NBD and writes down every request, so that a test can say what was moved twice.

It can be slowed down, killed with what it holds, and started again at the same socket.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.qemu.child import start_bound

_START_S = 30.0
_REQUEST = re.compile(r" (Read|Write) id=\d+ offset=0x([0-9a-f]+) count=0x([0-9a-f]+)")


class Moved(NamedTuple):
    """What went over the wire."""

    total_bytes: int
    """Sum of all requests."""
    distinct_bytes: int
    """Of the disk that were asked for at least once."""

    @property
    def twice_bytes(self) -> int:
        """What was moved again."""
        return self.total_bytes - self.distinct_bytes


class CountedDisk:
    """Serves one disk; `plugin` is what nbdkit is given, e.g. ("file", PATH). A context manager."""

    def __init__(self, room: Path, *plugin: object, name: str = "counted", rate_bits_per_s: int | None = None) -> None:
        self.socket_path = room / f"{name}.sock"
        self.log = room / f"{name}.log"
        self._plugin = [str(word) for word in plugin]
        self._rate_bits_per_s = rate_bits_per_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"nbd+unix:///?socket={self.socket_path}"

    @property
    def spec(self) -> EndpointSpec:
        """Describe it to the engine."""
        return EndpointSpec("nbd", self.url)

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it can be connected to when this returns."""
        self.socket_path.unlink(missing_ok=True)
        slow = ["--filter=rate"] if self._rate_bits_per_s else []
        command = ["nbdkit", "-f", "-U", str(self.socket_path), "--filter=log", *slow, *self._plugin]
        command += [f"logfile={self.log}", "logappend=true"]
        command += [f"rate={self._rate_bits_per_s}"] if self._rate_bits_per_s else []
        # It complains about every client that was killed.
        self._process = start_bound(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not self.socket_path.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nbdkit did not start: {command}")
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end in peace. May be called twice."""
        self._end(signal.SIGTERM)
        self.socket_path.unlink(missing_ok=True)

    def moved(self, verb: str) -> Moved:
        """Add up the requests so far; `verb` is Read or Write."""
        spans = sorted(self._requests(verb))
        distinct, end = 0, 0
        for start, length in spans:
            distinct += max(0, start + length - max(start, end))
            end = max(end, start + length)
        return Moved(sum(length for _, length in spans), distinct)

    def _requests(self, verb: str) -> list[tuple[int, int]]:
        if not self.log.exists():
            return []
        found = _REQUEST.findall(self.log.read_text())
        return [(int(offset, 16), int(count, 16)) for kind, offset, count in found if kind == verb]

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait()

    def __enter__(self) -> CountedDisk:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
