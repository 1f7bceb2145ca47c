# SPDX-License-Identifier: Apache-2.0
"""What can go wrong at a platform, besides what can go wrong in the engine.

::

    EngineError
    ├── BadInput
    │   ├── NotThere             no VM, disk, cluster, network or storage of that name at the site
    │   ├── NameTaken            a VM of that name is there and may not be replaced
    │   ├── IdTaken              a disk of that id is there, and is not of this run
    │   ├── LoginRefused         wrong user or password
    │   ├── NotPermitted         the user may not do that
    │   ├── Refused              the platform says that the request makes no sense
    │   └── NotSupported         the platform cannot do that with this VM or disk
    ├── TrustError               (the engine's) a certificate that is not the one expected
    └── PlatformError
        ├── SiteAway             the site does not answer, or with an error of its own
        │   └── OutcomeUnknown       the connection broke while something was being changed: look before asking again
        ├── VmBusy               locked, migrating, or somebody else has a point of it open
        ├── Conflict             the platform refuses for now
        ├── NoRoom               a storage of the site is too full
        ├── BadState             something we wait for has ended in a state that is not the wanted one
        │   ├── PointFailed          a point that did not open
        │   └── TransferFailed       a way to a disk's bytes that did not open or broke
        │       └── BitmapBroken         because what the platform knows about changes is damaged
        ├── WaitedTooLong        something we wait for takes longer than we may wait
        └── NotAsOrdered         what the platform made is not what it was told to make
"""

from __future__ import annotations

from vmferry.engine.errors import BadInput, EngineError, Retry


class NotThere(BadInput):
    """Nothing of that name is at the site."""


class NameTaken(BadInput):
    """A VM of that name is there already and we were not told to replace it."""


class IdTaken(BadInput):
    """A disk of that id is there already and is somebody else's; with another id it can be made."""


class LoginRefused(BadInput):
    """The site does not accept user and password."""


class NotPermitted(BadInput):
    """The user may not do that at the site."""


class Refused(BadInput):
    """The platform calls the request wrong."""


class NotSupported(BadInput):
    """The platform, or our driver, cannot do that."""


class PlatformError(EngineError):
    """Base of what goes wrong at a platform."""


class SiteAway(PlatformError):
    """The site does not answer, or answers with an error of its own."""


class OutcomeUnknown(SiteAway):
    """The connection broke while something was being changed: nobody knows whether it was."""


class VmBusy(PlatformError):
    """The VM is locked, or somebody else has a point of it open."""


class Conflict(PlatformError):
    """The platform refuses in the state things are in now."""


class NoRoom(PlatformError):
    """A storage of the site has too little space."""

    retry = Retry.AFTER_CLEANUP


class BadState(PlatformError):
    """Something we wait for has ended in a state that is not the wanted one."""

    state = ""


class PointFailed(BadState):
    """A point did not open."""


class TransferFailed(BadState):
    """A way to a disk's bytes did not open, or broke."""


class BitmapBroken(TransferFailed):
    """What the platform knows about changes is damaged: the point has to be opened again without it."""

    retry = Retry.AFTER_CLEANUP


class WaitedTooLong(PlatformError):
    """Something we wait for takes longer than we may wait."""


class NotAsOrdered(PlatformError):
    """What the platform made is not what it was told to make."""

    retry = Retry.NEVER
