# SPDX-License-Identifier: Apache-2.0
"""One ssh connection that all commands to a host share: a command over it costs no new key exchange."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from vmferry.hosts.child import Spawner, bound, stop
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_command import build_master

SSH_GRACE_S = 0.3
"""ssh keeps nothing that has to be saved, and may notice a SIGTERM only at its next alive check."""

_LOOK_S = 0.02


class SharedConnection:
    """Makes the connection when it is first wanted, and again when it broke. Any number of threads may use it."""

    def __init__(self, settings: SshSettings, spawner: Spawner, socket: Path) -> None:
        self._settings = settings
        self._spawner = spawner
        self._socket = socket
        self._master: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def alive(self) -> Path | None:
        """Give the socket of the connection if there is one; never waits."""
        master = self._master
        return self._socket if master is not None and master.poll() is None and self._socket.is_socket() else None

    def ensure(self) -> Path | None:
        """Give the socket of the connection, making it first when there is none.

        None when it cannot be made: the command then goes without it, fails the same way, and says why.
        """
        with self._lock:
            alive = self.alive()
            if alive is None:
                self._stop()
                self._make()
            return self.alive()

    def drop(self) -> None:
        """End the connection. May be called twice."""
        with self._lock:
            self._stop()

    def _make(self) -> None:
        self._socket.unlink(missing_ok=True)
        quiet = subprocess.DEVNULL
        argv = bound(build_master(self._settings, self._socket))
        master = self._spawner.spawn(argv, stdin=quiet, stdout=quiet, stderr=quiet, env=english_environment())
        self._master = master
        deadline = time.monotonic() + self._settings.connect_timeout_s
        while not self._socket.is_socket() and master.poll() is None and time.monotonic() < deadline:
            time.sleep(_LOOK_S)

    def _stop(self) -> None:
        master, self._master = self._master, None
        if master is not None:
            stop(master, grace_s=SSH_GRACE_S)


def english_environment() -> dict[str, str]:
    """Give ssh our environment, but its messages in English: we read them."""
    return {**os.environ, "LC_ALL": "C"}
