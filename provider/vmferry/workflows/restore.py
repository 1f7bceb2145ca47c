# SPDX-License-Identifier: Apache-2.0
"""The steps of a restore that a person starts: plan, disks, bytes, VM; and what gives back if that ends badly."""

from __future__ import annotations

from typing import Any

from vmferry.operators.policy import PlanRestoreOperator
from vmferry.operators.restore import CreateDisksOperator, CreateVmOperator, RestoreDiskOperator, StepOperator


def restore_steps(plan: PlanRestoreOperator, cleanup: StepOperator, *, outlets: Any = ()) -> CreateVmOperator:
    """Put the steps behind a plan, and a teardown around what they make; gives the last step."""
    given = {"site": plan.output["site"], "plan": plan.output["plan"]}
    create = CreateDisksOperator(task_id="create_vm_disks", **given)
    disks = RestoreDiskOperator.partial(
        task_id="restore_vm_disks", max_active_tis_per_dagrun=2, map_index_template="{{ task.disk['name'] }}", **given
    ).expand(disk=create.output)
    made = CreateVmOperator(task_id="create_vm", disks=disks.output, outlets=list(outlets), **given)
    plan >> create >> disks >> made >> cleanup.as_teardown(setups=create)
    return made
