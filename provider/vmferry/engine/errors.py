# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the engine.

::

    EngineError
    ├── BadInput                 what was asked cannot be done; nothing was changed
    │   ├── UnknownScheme            a location of a kind we do not know
    │   ├── ToolMissing              a program is not installed (says which package has it)
    │   ├── Unreadable               a path that is not there or may not be opened
    │   ├── NotADiskImage            bytes that are no disk image, or of another format than said
    │   ├── RefusedImage             an image that names other files, needs a key, or is absurdly large
    │   ├── TargetTooSmall           the source does not fit
    │   └── TargetInUse              somebody else has the target open
    ├── TrustError               a certificate or host key that is not the one expected
    ├── SourceError              reading failed
    │   ├── ShortRead                fewer bytes than the size promised
    │   ├── SourceChanged            the bytes are no longer those we began with
    │   └── SourceLost               the connection broke and did not come back
    ├── TargetError              writing failed
    │   ├── NoSpace                  the target is full; the journal is kept
    │   └── TargetLost               the connection broke and did not come back
    ├── ProofError               a proof file that is torn, edited or of a newer version
    │   └── ProofMismatch            two roots that should be equal are not
    ├── JournalMismatch          the journal belongs to another source or target
    ├── JobBusy                  the job runs already, in another process
    ├── JobFailed                a job on a host ended in failure
    ├── HostLost                 the machine where a job runs does not answer
    └── Cancelled                somebody asked us to stop
"""

from __future__ import annotations

import enum
from typing import ClassVar


class Retry(enum.Enum):
    """What a scheduler should do about an error."""

    NEVER = "never"
    """A person has to change something first."""
    BACKOFF = "backoff"
    """The same again later may work; finished work is kept."""
    AFTER_CLEANUP = "after_cleanup"
    """The same again works once something was freed."""


class EngineError(Exception):
    """Base of all engine errors: what happened, and what the reader can do about it."""

    retry: ClassVar[Retry] = Retry.BACKOFF
    usual_fix: ClassVar[str] = ""
    """What the reader can do where nothing better is known."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        fix = fix or self.usual_fix
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.fix))


def _rebuild(kind: type[EngineError], what: str, fix: str) -> EngineError:
    return kind(what, fix=fix)


class BadInput(EngineError):
    """What was asked cannot be done. Nothing was changed."""

    retry = Retry.NEVER


class UnknownScheme(BadInput):
    """A location of a kind the engine does not know."""


class ToolMissing(BadInput):
    """A program the engine needs is not installed."""


class Unreadable(BadInput):
    """A path that is not there or that we may not open."""


class NotADiskImage(BadInput):
    """Bytes that are no disk image, or not of the format that was said."""

    usual_fix = "export or upload it again, whole"


class RefusedImage(BadInput):
    """An image that could make us read other files, or that no one can mean."""

    usual_fix = "make it anew where it comes from: qemu-img convert to qcow2 or raw"


class TargetTooSmall(BadInput):
    """The source does not fit on the target."""


class TargetInUse(BadInput):
    """Somebody else has the target open."""


class TrustError(EngineError):
    """The other side is not who it should be."""

    retry = Retry.NEVER


class SourceError(EngineError):
    """Reading failed."""


class ShortRead(SourceError):
    """The source gave fewer bytes than its size promised."""


class SourceChanged(SourceError):
    """The source is no longer the one we began to read."""

    retry = Retry.NEVER


class SourceLost(SourceError):
    """The connection to the source broke and did not come back in time."""


class TargetError(EngineError):
    """Writing failed."""


class NoSpace(TargetError):
    """The target is full. What was written so far is in the journal."""

    retry = Retry.AFTER_CLEANUP


class TargetLost(TargetError):
    """The connection to the target broke and did not come back in time."""


class ProofError(EngineError):
    """A proof that cannot be trusted: torn, edited, or of a newer version."""

    retry = Retry.NEVER


class ProofMismatch(ProofError):
    """Two roots that should be equal are not."""


class JournalMismatch(EngineError):
    """The journal was written for another source or target."""

    retry = Retry.NEVER


class JobBusy(EngineError):
    """The job runs already."""


class JobFailed(EngineError):
    """A job ended in failure; the message is the one the job left."""


class HostLost(EngineError):
    """The machine where a job runs does not answer."""


class Cancelled(EngineError):
    """Somebody asked us to stop. What was done so far is in the journal."""

    retry = Retry.NEVER
