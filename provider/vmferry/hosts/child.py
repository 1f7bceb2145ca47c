# SPDX-License-Identifier: Apache-2.0
"""Child programs that end with us, whatever ends us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

STOP_S = 5.0


class Spawner:
    """Starts children from one thread that lives as long as the process or until it is closed.

    The kernel's death signal comes when the *thread* that made a child ends (prctl(2), PR_SET_PDEATHSIG). A child made
    by a short-lived worker thread would be killed in the middle of its work.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def spawn(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program, like `subprocess.Popen`."""
        if self._pid != os.getpid():  # neither a thread nor the state of a lock survives a fork
            self._thread, self._lock, self._pid = None, threading.Lock(), os.getpid()
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")
            thread = self._thread
        return thread.submit(lambda: subprocess.Popen(list(argv), **options)).result()

    def close(self) -> None:
        """End the thread; children that still run and asked for it end too. May be called twice."""
        if self._thread is not None and self._pid == os.getpid():
            self._thread.shutdown()
        self._thread = None


def bound(argv: Sequence[str]) -> list[str]:
    """Make a command line whose program the kernel kills when the thread that starts it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def stop(process: subprocess.Popen[bytes], *, grace_s: float = STOP_S) -> None:
    """End a child and wait for it. May be called twice."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
