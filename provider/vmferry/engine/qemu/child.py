# SPDX-License-Identifier: Apache-2.0
"""Child servers that die with us, however we die.

The kernel kills such a child when its parent THREAD ends (prctl(2), PR_SET_PDEATHSIG), so children are started by one
thread that lives as long as the process, not by a worker that may be gone in a second. If we die before the child
has asked for the signal it would never come: the child compares its parent with us after asking.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_SAME_PARENT = '[ "$PPID" = "$0" ] || exit 125; '
_SHELL = _SAME_PARENT + 'exec "$@"'
_SHELL_LISTENING = _SAME_PARENT + 'LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec "$@" 3<&0 0</dev/null'
_PRCTL = "import ctypes,os,sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"


def start_bound(command: Sequence[str], *, listening: bool = False, **popen: Any) -> subprocess.Popen[bytes]:
    """Start a program that is killed when this process ends.

    With `listening`, the socket given as `stdin` is handed over the way systemd does it (descriptor 3, LISTEN_FDS).
    """
    script = _SHELL_LISTENING if listening else _SHELL
    bound = [*_signal_wish(), "sh", "-c", script, str(os.getpid()), *command]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(bound, **popen)

    return _spawner().submit(start).result()


def _signal_wish() -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv:
        return [setpriv, "--pdeathsig", "KILL", "--"]
    return [sys.executable, "-I", "-S", "-c", _PRCTL]


_spawners: dict[int, ThreadPoolExecutor] = {}


def _spawner() -> ThreadPoolExecutor:
    """One thread per process: a forked child has none of its parent's threads and gets its own."""
    pid = os.getpid()
    if pid not in _spawners:
        _spawners.clear()
        _spawners[pid] = ThreadPoolExecutor(1, thread_name_prefix="vmferry-spawner")
    return _spawners[pid]
