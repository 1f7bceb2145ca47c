"""What happens over time: one module per thing that has phases, with the step that takes it to the next one."""

from __future__ import annotations

from lab.ovirt.clock import Step
from lab.ovirt.flows.backups import step_backup
from lab.ovirt.flows.disks import step_disk
from lab.ovirt.flows.snapshots import step_snapshot
from lab.ovirt.flows.transfers import step_transfer
from lab.ovirt.flows.vms import step_vm

STEPS: dict[str, Step] = {
    "backup": step_backup,
    "disk": step_disk,
    "snapshot": step_snapshot,
    "transfer": step_transfer,
    "vm": step_vm,
}
