# SPDX-License-Identifier: Apache-2.0
"""A private qemu-nbd: serves one image to this process alone and leaves nothing behind when we are killed.

We make the listening socket and hand it over (systemd's socket activation), so nobody polls for the server to be up:
a connection waits in the queue until it is. The socket's name is removed before the server even starts; we reach it
through a descriptor (/proc/self/fd/N). So there is no path another user could connect to, none that a `kill -9`
leaves, and no limit of 107 characters. The server's messages go to a file without a name. A kill that hits the few
microseconds in which the socket has a name leaves a folder; the next start removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.engine.qemu.child import start_bound
from vmferry.engine.qemu.tools import explain, find_tool

_CLIENTS = 64
_STOP_S = 120.0


class PrivateServer:
    """A running qemu-nbd, until `stop`."""

    def __init__(self, node: Mapping[str, Any], about: str, options: Sequence[str] = ()) -> None:
        command = [find_tool("qemu-nbd"), "--persistent", f"--shared={_CLIENTS}", *options, f"json:{json.dumps(node)}"]
        self._about = about
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._door = -1
        try:
            with _listen() as (listener, self._door):
                self._process = start_bound(
                    command, listening=True, stdin=listener, stdout=subprocess.DEVNULL, stderr=self._messages
                )
        except BaseException:
            self._release()
            raise

    @property
    def socket_path(self) -> str:
        """Where to connect; means something in this process only."""
        return f"/proc/self/fd/{self._door}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def last_words(self) -> str:
        """Say what it said, when it is dead; empty while it lives."""
        if self._messages.closed or self._process.poll() is None:
            return ""
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace").strip() or f"qemu-nbd ended: {self._process.returncode}"

    def failure(self) -> EngineError | None:
        """Say why it did not start; waits for it to end, which it does when a connection was cut."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        words = self.last_words()
        return explain(words, f"{self._about}: cannot open") if words else None

    def stop(self) -> None:
        """Let it write what it has and end; may be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._release()

    def _release(self) -> None:
        if self._door >= 0:
            os.close(self._door)
            self._door = -1
        self._messages.close()


@contextlib.contextmanager
def _listen() -> Iterator[tuple[socket.socket, int]]:
    """Make a listening socket without a name, and a descriptor that leads to it."""
    prefix = f"vmferry-{_namespace()}-"
    _sweep(prefix)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
    # By descriptor, because the temporary folder's path may be longer than a socket address can be.
    inside = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(f"/proc/self/fd/{inside}/s")
            listener.listen(_CLIENTS)
            door = os.open(folder / "s", os.O_PATH | os.O_CLOEXEC)
        finally:
            os.close(inside)
            (folder / "s").unlink(missing_ok=True)
            folder.rmdir()
        yield listener, door


def _sweep(prefix: str) -> None:
    """Remove what processes left that were killed within `_listen`."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        pid = folder.name[len(prefix) :].split("-")[0]
        if not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):  # another user's, or somebody else sweeps too
                (folder / "s").unlink(missing_ok=True)
                folder.rmdir()


def _namespace() -> int:
    """Tell process ids of one container from those of another that shares our temporary folder."""
    return Path("/proc/self/ns/pid").stat().st_ino
