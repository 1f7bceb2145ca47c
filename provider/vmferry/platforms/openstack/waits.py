# SPDX-License-Identifier: Apache-2.0
"""What the states of OpenStack's things mean to one who waits for them, in small letters.

A server that is at work has a state like ``active+powering-off``, which no table knows and every wait waits out: nova
answers 409 to whatever is asked of it then, and an image is active a little before its server is done with it.
"""

from __future__ import annotations

from typing import Any

from vmferry.platforms.waiting import WaitTable, table

VOLUME_AVAILABLE = table(
    "volume",
    ok="available",
    wait="creating downloading uploading detaching attaching reserved in-use extending retyping maintenance",
    fail="error error_restoring error_extending error_managing deleting error_deleting gone",
)
"""After it was made, or detached."""
VOLUME_SETTLED = table(
    "volume", ok="available in-use error gone", wait="creating downloading uploading detaching attaching"
)
"""Nobody works on it."""
VOLUME_IN_USE = table(
    "volume",
    ok="in-use",
    wait="available reserved attaching detaching",
    fail="error error_attaching deleting error_deleting gone",
)
VOLUME_GONE = table("volume", ok="gone", wait="deleting available in-use detaching", fail="error_deleting error")

SNAPSHOT_AVAILABLE = table(
    "snapshot", ok="available", wait="creating backing-up", fail="error deleting error_deleting gone"
)
SNAPSHOT_GONE = table("snapshot", ok="gone", wait="deleting available creating", fail="error_deleting error")

IMAGE_ACTIVE = table(
    "image",
    ok="active",
    wait="queued saving importing uploading",
    fail="killed deleted pending_delete deactivated gone",
)

SERVER_ACTIVE = table(
    "server",
    ok="active",
    wait="build reboot hard_reboot shutoff rebuild unknown",
    fail="error deleted soft_deleted paused suspended rescue shelved shelved_offloaded gone",
)
SERVER_DOWN = table(
    "server", ok="shutoff", wait="active reboot hard_reboot unknown", fail="error deleted soft_deleted gone"
)
SERVER_SETTLED = table(
    "server",
    ok="active shutoff error paused suspended rescue shelved shelved_offloaded gone deleted soft_deleted verify_resize",
    wait="build reboot hard_reboot",
)
"""Nova does not work on it."""
SERVER_GONE = table("server", ok="gone deleted soft_deleted", wait="active shutoff error build paused suspended")

TABLES: dict[str, WaitTable] = {
    "volume_available": VOLUME_AVAILABLE,
    "volume_settled": VOLUME_SETTLED,
    "volume_in_use": VOLUME_IN_USE,
    "volume_gone": VOLUME_GONE,
    "snapshot_available": SNAPSHOT_AVAILABLE,
    "snapshot_gone": SNAPSHOT_GONE,
    "image_active": IMAGE_ACTIVE,
    "server_active": SERVER_ACTIVE,
    "server_down": SERVER_DOWN,
    "server_settled": SERVER_SETTLED,
    "server_gone": SERVER_GONE,
}
"""By name, for a trigger, which can be given texts only."""

DEAD = frozenset({"deleting", "error_deleting", "deleted", "soft_deleted", "pending_delete", "killed"})
"""A thing in one of these states is of no use to a run."""
BROKEN = frozenset({"error"})
"""One in this state is removed and made anew."""


def state_of(thing: Any) -> str:
    """Give the state of a thing of the SDK's."""
    state = str(thing.status or "unknown").lower()
    task = getattr(thing, "task_state", None)
    return f"{state}+{task}" if task else state
