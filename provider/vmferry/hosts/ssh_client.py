# SPDX-License-Identifier: Apache-2.0
"""Runs the OpenSSH client: one command and its answer, blocking or in an event loop, over a shared connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vmferry.engine.errors import EngineError, HostLost, ToolMissing, TrustError
from vmferry.hosts.child import Spawner
from vmferry.hosts.private import PrivateDirectory
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_command import build_remote, build_ssh
from vmferry.hosts.ssh_failure import SSH_FAILED, explain
from vmferry.hosts.ssh_shared import SharedConnection, english_environment

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left."""

    code: int
    """Its exit code; never 255, which is ssh's own."""
    stdout: bytes
    """What it printed."""
    stderr: str
    """What it complained of."""


class SshClient:
    """Runs commands on one host. Holds a private directory and, when multiplexing, one ssh that all commands share."""

    def __init__(self, settings: SshSettings) -> None:
        self.settings = settings
        self.spawner = Spawner()
        self._lock = threading.RLock()
        self._directory: PrivateDirectory | None = None
        self._shared: SharedConnection | None = None
        if not settings.verify_host_key:
            _log.warning("the host key of %s is not verified: whoever answers there is trusted", settings.address)

    def run(
        self, script: str, *, stdin: bytes = b"", stdout: IO[bytes] | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Run a shell script on the host; raises when ssh itself fails or no answer comes in time.

        With `stdout`, what it prints goes to that file and not into the answer.
        """
        limit_s = timeout_s or self.settings.command_timeout_s
        argv = build_remote(self.settings, script, control_path=self._share())
        try:
            done = subprocess.run(
                argv, input=stdin, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s,
                env=english_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self._silent(limit_s) from None
        except FileNotFoundError:
            raise _no_ssh() from None
        return self._judge(done.returncode, done.stdout or b"", done.stderr)

    async def arun(self, script: str, *, stdin: bytes = b"") -> Answer:
        """Like `run`, for an event loop. Uses the shared connection where there is one, but does not make it."""
        limit_s = self.settings.command_timeout_s
        argv = build_remote(self.settings, script, control_path=self._shared.alive() if self._shared else None)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=english_environment()
            )
        except FileNotFoundError:
            raise _no_ssh() from None
        try:
            stdout, stderr = await asyncio.wait_for(process.communicate(stdin), limit_s)
        except TimeoutError:
            raise self._silent(limit_s) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return await asyncio.to_thread(self._judge, process.returncode or 0, stdout, stderr)

    def directory(self) -> Path:
        """Give a directory that only we can enter, for sockets."""
        with self._lock:
            if self._directory is None:
                self._directory = PrivateDirectory()
            return self._directory.path

    def explain(self, stderr: str) -> EngineError:
        """Make the error for a connection that failed; asks once more for the host key when that is what failed."""
        problem = explain(self.settings, stderr)
        return explain(self.settings, stderr + self._ask_for_key()) if isinstance(problem, TrustError) else problem

    def close(self) -> None:
        """End the shared connection and remove the directory. May be called twice."""
        self._drop()
        self._shared = None
        if self._directory is not None:
            self._directory.close()
            self._directory = None
        self.spawner.close()

    def _share(self) -> Path | None:
        if not self.settings.multiplex:
            return None
        with self._lock:
            if self._shared is None:
                self._shared = SharedConnection(self.settings, self.spawner, self.directory() / "mux")
        return self._shared.ensure()

    def _drop(self) -> None:
        if self._shared is not None:
            self._shared.drop()

    def _judge(self, code: int, stdout: bytes, stderr: bytes) -> Answer:
        text = stderr.decode(errors="replace")
        if code == SSH_FAILED:
            self._drop()
            raise self.explain(text)
        return Answer(code, stdout, text)

    def _silent(self, limit_s: float) -> HostLost:
        self._drop()
        where = f"{self.settings.destination} port {self.settings.port}"
        return HostLost(f"{where} gave no answer within {limit_s:.0f} s", fix="see that the machine is well")

    def _ask_for_key(self) -> str:
        argv = [*build_ssh(self.settings, log_level="DEBUG1"), "--", self.settings.destination, "true"]
        limit_s = self.settings.connect_timeout_s + 5
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s)
            return done.stderr.decode(errors="replace")
        return ""


def _no_ssh() -> ToolMissing:
    return ToolMissing("ssh is not installed", fix="apt install openssh-client (dnf install openssh-clients)")
