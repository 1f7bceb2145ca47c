# SPDX-License-Identifier: Apache-2.0
"""The exit codes, the same for every command, and which error leads to which."""

from __future__ import annotations

import enum
import errno

from vmferry.engine import errors
from vmferry.platforms.errors import NoRoom, VmBusy


class Exit(enum.IntEnum):
    """What the shell sees."""

    FINE = 0
    """Done."""
    VERDICT = 1
    """Looked, and the answer is bad: differs, damaged, refused, corrupt."""
    BAD_INPUT = 2
    """What was asked cannot be done; nothing was changed."""
    FAILED = 3
    """It broke; the same command again may work and goes on where it stopped."""
    NO_SPACE = 4
    """The target is full; the same command goes on once there is room."""
    BUSY = 5
    """Somebody else is at it."""
    CANCELLED = 130
    """Stopped on request; the same command goes on where it stopped."""


_TABLE: tuple[tuple[type[errors.EngineError], Exit], ...] = (
    (errors.Cancelled, Exit.CANCELLED),
    (errors.JobBusy, Exit.BUSY),
    (errors.TargetInUse, Exit.BUSY),
    (VmBusy, Exit.BUSY),
    (errors.NoSpace, Exit.NO_SPACE),
    (NoRoom, Exit.NO_SPACE),
    (errors.RefusedImage, Exit.VERDICT),
    (errors.NotADiskImage, Exit.VERDICT),
    (errors.ProofError, Exit.VERDICT),
    (errors.BadInput, Exit.BAD_INPUT),
    (errors.TrustError, Exit.BAD_INPUT),
    (errors.JournalMismatch, Exit.BAD_INPUT),
)


_ERRNOS = {
    errno.ENOSPC: Exit.NO_SPACE,
    errno.EDQUOT: Exit.NO_SPACE,
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
        Exit.BAD_INPUT,
    ),
}


def exit_for(error: BaseException) -> Exit:
    """Find the exit code of an error: the first line of the table that fits."""
    if isinstance(error, KeyboardInterrupt):
        return Exit.CANCELLED
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _ERRNOS[error.errno]
    return next((code for kind, code in _TABLE if isinstance(error, kind)), Exit.FAILED)
