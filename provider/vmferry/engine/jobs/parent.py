# SPDX-License-Identifier: Apache-2.0
"""Dying with the parent: the kernel kills us when the thread that started us ends."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL at the parent's end; ends at once when the parent is gone already.

    SIGKILL and not SIGTERM: when the parent is gone somebody may start the job again this very moment, and should find
    the lock free. The journal is made for it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died between our start and the call above; then the signal never comes.
    if os.getppid() != parent_pid:
        os._exit(1)
