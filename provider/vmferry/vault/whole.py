# SPDX-License-Identifier: Apache-2.0
"""A whole backup by one process: begin, all disks, publish. What the command line and bare qemu users need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import NO_SECRETS
from vmferry.engine.errors import BadInput, JournalMismatch, SourceChanged
from vmferry.vault.adding import NO_CHANGES, PLAIN_PACE, Changes, Pace, add_disk_locked
from vmferry.vault.backup import Backup, Consistency, DiskInfo
from vmferry.vault.beginning import asked_point, begin_locked
from vmferry.vault.layout import Vault
from vmferry.vault.lock import Hold, clear_empty, writing
from vmferry.vault.openpoint import OpenPoint
from vmferry.vault.publishing import publish_locked
from vmferry.vault.quarantine import destroy, set_aside

_DISKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What a whole backup is made of."""

    vm: str
    sources: Mapping[str, EndpointSpec]
    """By disk."""
    incremental: bool = False
    changes: Mapping[str, Changes] = field(default_factory=dict)
    """By disk; a disk without is read and compared with its parent's proof."""
    consistency: Consistency = Consistency.UNKNOWN
    disks: Mapping[str, DiskInfo] = field(default_factory=dict)
    """What else is known about a disk."""
    hardware: Mapping[str, Any] | None = None
    ovf: str | None = None
    vm_id: str | None = None
    site: str | None = None
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """By disk: headers and pre-signed URLs, which no file of the vault ever holds."""
    owner: str = "cli"
    now: datetime | None = None


def add_point(
    vault: Vault,
    order: Order,
    *,
    pace: Callable[[str], Pace] = lambda disk: PLAIN_PACE,
    secrets: Mapping[str, str] = NO_SECRETS,
    on_begin: Callable[[OpenPoint], None] = lambda point: None,
) -> Backup:
    """Make a backup. After any failure, the same call goes on where it stopped, if the sources are still the same.

    An unfinished backup of other sources is set aside. Raises `VaultBusy` when somebody else is at it.
    """
    with _begun(vault, order) as point:
        on_begin(point)
        interrupted = any(point.begun(disk.info.name) for disk in point.disks)
        try:
            _add_all(point, order, pace, secrets)
        except (SourceChanged, JournalMismatch):
            # The sources are other ones now than when it was interrupted: what it has is of no use.
            if not interrupted:
                raise
            set_aside(point.dir)
            point = begin_locked(_asked(vault, order))
            on_begin(point)
            _add_all(point, order, pace, secrets)
        except BadInput:
            if not interrupted:
                _leave_no_trace(point)
            raise
        return publish_locked(point, consistency=order.consistency, hardware=order.hardware, ovf=order.ovf)


@contextmanager
def _begun(vault: Vault, order: Order) -> Iterator[OpenPoint]:
    asked = _asked(vault, order)
    what = f"making an {'incremental' if order.incremental else 'full'} backup"
    with writing(asked.dir.parent, Hold.EXCLUSIVE, what.replace("an full", "a full"), vm=order.vm):
        yield begin_locked(asked)


def _asked(vault: Vault, order: Order) -> OpenPoint:
    infos = [order.disks.get(name, DiskInfo(name)) for name in order.sources]
    sources = {name: json.dumps(spec.to_json(), sort_keys=True) for name, spec in order.sources.items()}
    return asked_point(
        vault, order.vm, infos, sources, owner=order.owner, incremental=order.incremental,
        vm_id=order.vm_id, site=order.site, now=order.now,
    )  # fmt: skip


def _add_all(point: OpenPoint, order: Order, pace: Callable[[str], Pace], secrets: Mapping[str, str]) -> None:
    def add(disk: str) -> None:
        changes = order.changes.get(disk, NO_CHANGES)
        own = {**secrets, **order.secrets.get(disk, {})}
        add_disk_locked(point, disk, order.sources[disk], changes, pace(disk), own)

    if len(order.sources) == 1:
        add(next(iter(order.sources)))
        return
    with ThreadPoolExecutor(min(_DISKS_AT_ONCE, len(order.sources))) as pool:
        waiting = [pool.submit(add, disk) for disk in order.sources]
        _, pending = wait(waiting, return_when=FIRST_EXCEPTION)
        for future in pending:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.result()


def _leave_no_trace(point: OpenPoint) -> None:
    destroy(set_aside(point.dir))
    clear_empty(point.dir.parent)
