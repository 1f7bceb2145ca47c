# SPDX-License-Identifier: Apache-2.0
"""What the states of OCI's things mean to one who waits for them."""

from __future__ import annotations

from vmferry.platforms.errors import BadState
from vmferry.platforms.waiting import WaitTable, table


class WorkerLost(BadState):
    """The instance that writes is going or gone: preempted, or somebody terminated it."""


INSTANCE_RUNNING = table(
    "instance",
    ok="RUNNING",
    wait="PROVISIONING STARTING MOVING",
    fail="STOPPING STOPPED CREATING_IMAGE TERMINATING TERMINATED gone",
    error=WorkerLost,
)
STOPPED = frozenset({"STOPPING", "STOPPED"})
"""An instance that is there and does not run."""

INSTANCE_GONE = table(
    "instance", ok="TERMINATED gone", wait="TERMINATING RUNNING STOPPING STOPPED PROVISIONING STARTING MOVING"
)

VOLUME_AVAILABLE = table(
    "volume", ok="AVAILABLE", wait="PROVISIONING RESTORING", fail="FAULTY TERMINATING TERMINATED gone"
)
VOLUME_GONE = table("volume", ok="TERMINATED gone", wait="TERMINATING AVAILABLE PROVISIONING RESTORING FAULTY")

ATTACHED = table("attachment", ok="ATTACHED", wait="ATTACHING", fail="DETACHING DETACHED gone")
DETACHED = table("attachment", ok="DETACHED gone", wait="DETACHING ATTACHED ATTACHING")

IMAGE_AVAILABLE = table("image", ok="AVAILABLE", wait="PROVISIONING IMPORTING EXPORTING", fail="DISABLED DELETED gone")

TABLES: dict[str, WaitTable] = {
    "instance_running": INSTANCE_RUNNING,
    "instance_gone": INSTANCE_GONE,
    "volume_available": VOLUME_AVAILABLE,
    "volume_gone": VOLUME_GONE,
    "attached": ATTACHED,
    "detached": DETACHED,
    "image_available": IMAGE_AVAILABLE,
}
"""By name, for a trigger, which can be given texts only."""

DEAD = frozenset({"TERMINATING", "TERMINATED", "FAULTY", "DELETED", "DETACHING", "DETACHED"})
"""A thing in one of these states is of no use to a run."""
