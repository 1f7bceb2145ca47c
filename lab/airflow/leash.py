"""Runs a program in a process group of its own and ends the whole group when asked to, or when whoever started it dies.

The parts of Airflow have children, and those do not end with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 20.0


def main() -> int:
    """Run the rest of the command line."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # so that grandchildren can be waited for
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    program = subprocess.Popen(sys.argv[1:], process_group=0)
    while program.poll() is None and not asked.wait(0.2) and os.getppid() == parent:
        pass
    _end(program)
    return program.returncode


def _end(program: subprocess.Popen[bytes]) -> None:
    _signal(program.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_GRACE_S)
    _signal(program.pid, signal.SIGKILL)
    program.wait()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-program.pid, 0)[0]:
            pass


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
