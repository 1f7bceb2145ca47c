# SPDX-License-Identifier: Apache-2.0
"""Run a checker: bounded time, bounded output, and it dies with us."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import IO, NamedTuple

_TAIL_BYTES = 8192
_WATCHED_BYTES = 1 << 20


class Run(NamedTuple):
    """How a program ended."""

    command: str
    """What was run, without the device."""
    exit_code: int
    """Negative when a signal ended it."""
    tail: str
    """The last of what it printed."""
    head: str
    """The first of what it printed, up to 1 MiB; some checkers warn only there."""
    timed_out: bool = False


def find_program(name: str) -> str | None:
    """Look in PATH and where administrators' programs are (a plain user's PATH often lacks sbin)."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path)


def bind_to_us(command: Sequence[str]) -> list[str]:
    """Make a command die with the thread that starts it: kill -9 of us must not leave it at work."""
    setpriv = find_program("setpriv")
    return list(command) if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--", *command]


def run_program(arguments: Sequence[str], device: str, *, timeout_s: float, keep_fds: Sequence[int] = ()) -> Run:
    """Run a checker on a device and wait for it."""
    command = bind_to_us([find_program(arguments[0]) or arguments[0], *arguments[1:], device])
    environment = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=tuple(keep_fds),
        env=environment,
    ) as child:
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            head, tail = _drain(child.stdout)
            exit_code = child.wait()
        finally:
            timer.cancel()
            child.kill()
    return Run(" ".join(arguments), exit_code, tail, head, late.is_set())


def _drain(pipe: IO[bytes] | None) -> tuple[str, str]:
    """Read to the end but keep only the beginning and the last lines: a ruined disk can print gigabytes."""
    head, tail = bytearray(), b""
    while pipe is not None:
        part = pipe.read(65536)
        if not part:
            break
        head += part[: max(0, _WATCHED_BYTES - len(head))]
        tail = (tail + part)[-_TAIL_BYTES:]
    lines = tail.decode("utf-8", "replace").strip().splitlines()
    return head.decode("utf-8", "replace"), "\n".join(lines[-20:])
