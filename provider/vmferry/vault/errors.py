# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in a vault, besides what can go wrong in the engine.

::

    EngineError
    ├── BadInput
    │   ├── NoSuchBackup         no VM, backup or disk of that name, or the name fits several
    │   ├── NewerFormat          written by a newer vmferry
    │   └── BadRetention         a retention policy nobody can mean
    ├── VaultError
    │   ├── TornPoint            a sealed file that is torn or was edited
    │   ├── ChainBroken          a backup stands on something that is missing or damaged
    │   ├── PointGone            the unfinished point was set aside or abandoned by somebody else
    │   └── PointUnfinished      publishing before every disk is there
    └── JobBusy
        └── VaultBusy            somebody else works on this VM's backups
"""

from __future__ import annotations

from vmferry.engine.errors import BadInput, EngineError, JobBusy, Retry


class VaultError(EngineError):
    """Base of what is wrong with a vault's content."""

    retry = Retry.NEVER


class NoSuchBackup(BadInput):
    """No VM, backup or disk of that name is in the vault, or the name fits more than one."""


class NewerFormat(BadInput):
    """A file of a format version that this vmferry does not know yet."""


class BadRetention(BadInput):
    """A retention policy that nobody can mean."""


class TornPoint(VaultError):
    """A sealed file whose checksum does not fit: torn, flipped or edited."""


class ChainBroken(VaultError):
    """A backup stands on something that is missing or damaged."""


class PointGone(VaultError):
    """The unfinished point is no longer there."""


class PointUnfinished(VaultError):
    """A point cannot be published before every disk of it is there."""

    retry = Retry.BACKOFF


class VaultBusy(JobBusy):
    """Somebody else works on this VM's backups; the message says who, since when and what."""

    retry = Retry.BACKOFF
