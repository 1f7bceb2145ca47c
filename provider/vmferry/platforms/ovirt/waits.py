# SPDX-License-Identifier: Apache-2.0
"""What the states of oVirt's things mean to one who waits for them."""

from __future__ import annotations

from vmferry.platforms.errors import PointFailed, TransferFailed
from vmferry.platforms.waiting import WaitTable, table

BACKUP_READY = table(
    "backup",
    ok="ready",
    wait="initializing starting",
    fail="failed finalizing succeeded gone",
    error=PointFailed,
)
"""After `POST /vms/…/backups`. An engine that failed early does not know the backup any more."""

BACKUP_ENDED = table("backup", ok="succeeded failed gone", wait="finalizing ready starting initializing")
"""After finalize; the bytes are in the vault by then, so even "failed" is an end."""

TRANSFER_OPEN = table(
    "transfer",
    ok="transferring",
    wait="initializing resuming unknown",
    fail="gone paused_system paused_user cancelled cancelled_system cancelled_user"
    " finalizing_success finalizing_failure finalizing_cleanup finished_success finished_failure finished_cleanup",
    error=TransferFailed,
)

TRANSFER_SUCCEEDED = table(
    "transfer",
    ok="finished_success gone",
    wait="transferring finalizing_success initializing resuming unknown",
    fail="finalizing_failure finished_failure finalizing_cleanup finished_cleanup cancelled cancelled_system"
    " cancelled_user paused_system paused_user",
    error=TransferFailed,
)
"""After the finalize of an upload. Engines before 4.4.7 forget it at once, so the disk has to be looked at as well."""

TRANSFER_ENDED = table(
    "transfer",
    ok="finished_success finished_failure finished_cleanup gone",
    wait="transferring initializing resuming unknown finalizing_success finalizing_failure finalizing_cleanup"
    " cancelled cancelled_system cancelled_user paused_system paused_user",
)
"""However it ended."""

DISK_USABLE = table("disk", ok="ok", wait="locked", fail="illegal gone")

SNAPSHOT_READY = table("snapshot", ok="ok", wait="locked", fail="in_preview gone", error=PointFailed)
SNAPSHOT_SETTLED = table("snapshot", ok="ok in_preview gone", wait="locked")
"""Nobody works on it any more."""
SNAPSHOT_GONE = table("snapshot", ok="gone", wait="ok locked in_preview")

VM_USABLE = table("VM", ok="down up paused suspended", wait="image_locked unassigned restoring_state saving_state")
"""After it was made."""

VM_UP = table(
    "VM",
    ok="up",
    wait="wait_for_launch powering_up reboot_in_progress restoring_state migrating image_locked unassigned",
    fail="down paused suspended not_responding powering_down gone",
)
VM_DOWN = table(
    "VM", ok="down gone", wait="up powering_down powering_up reboot_in_progress paused suspended not_responding"
)
VM_GONE = table("VM", ok="gone", wait="down image_locked unassigned unknown")

VM_FREE = table(
    "VM",
    ok="up down",
    fail="migrating paused suspended image_locked saving_state restoring_state not_responding unknown unassigned"
    " powering_up powering_down wait_for_launch reboot_in_progress",
)
"""Whether a backup may begin now."""

ENDED_BACKUPS = frozenset({"succeeded", "failed"})
"""One that is finalizing still keeps others from beginning."""
ENDED_TRANSFERS = frozenset(
    {"finished_success", "finished_failure", "finished_cleanup", "finalizing_success", "finalizing_failure",
     "finalizing_cleanup", "cancelled", "cancelled_system", "cancelled_user"}
)  # fmt: skip
PAUSED_TRANSFERS = frozenset({"paused_system", "paused_user"})

TABLES: dict[str, WaitTable] = {
    "backup_ready": BACKUP_READY,
    "backup_ended": BACKUP_ENDED,
    "transfer_open": TRANSFER_OPEN,
    "transfer_succeeded": TRANSFER_SUCCEEDED,
    "transfer_ended": TRANSFER_ENDED,
    "disk_usable": DISK_USABLE,
    "snapshot_ready": SNAPSHOT_READY,
    "snapshot_settled": SNAPSHOT_SETTLED,
    "snapshot_gone": SNAPSHOT_GONE,
    "vm_usable": VM_USABLE,
    "vm_up": VM_UP,
    "vm_down": VM_DOWN,
    "vm_gone": VM_GONE,
    "vm_free": VM_FREE,
}
"""By name, for a trigger, which can be given texts only."""
