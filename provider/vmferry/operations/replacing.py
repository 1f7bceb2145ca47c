# SPDX-License-Identifier: Apache-2.0
"""Lets a proven VM take the place of an old one, and gives the place back when the new one does not start.

The old VM is stopped and renamed; it is removed last, when all else has worked, and only where nobody wants it kept.
"""

from __future__ import annotations

from vmferry.engine.errors import EngineError
from vmferry.operations.values import RestorePlan
from vmferry.operations.ways import log_second
from vmferry.platforms.contract import Target
from vmferry.platforms.orders import VmRef

STOP_TIMEOUT_S = 300.0


def take_place(target: Target, plan: RestorePlan, made: VmRef, *, wait_for_agent: bool) -> tuple[VmRef, str]:
    """Give the new VM its name and start it where that is asked for. Gives it, and the name the old one has now."""
    if plan.old is None:
        return _start(target, plan, made, wait_for_agent), ""
    old = _find_old(target, plan)
    was_up = plan.old.status == "up"
    if old is not None:
        old = target.stop_vm(old, timeout_s=STOP_TIMEOUT_S)
        old = target.rename_vm(old, plan.old_name)
    try:
        made = target.rename_vm(made, plan.name)
        made = _start(target, plan, made, wait_for_agent)
    except EngineError:
        _give_back(target, plan, made, old, was_up=was_up)
        raise
    if old is not None and not plan.keep_old:
        target.remove_vm(old, keep_disks=False)
        return made, ""
    return made, plan.old_name


def _start(target: Target, plan: RestorePlan, vm: VmRef, wait_for_agent: bool) -> VmRef:
    if not plan.start:
        return vm
    return target.start_vm(vm, timeout_s=plan.timeout_s, wait_for_agent=wait_for_agent)


def _find_old(target: Target, plan: RestorePlan) -> VmRef | None:
    """Find the old VM under either of its names; None when an earlier try has removed it."""
    assert plan.old is not None  # noqa: S101
    for name in (plan.name, plan.old_name):
        found = target.find_vm(name)
        if found is not None and found.id == plan.old.id:
            return found
    return None


def _give_back(target: Target, plan: RestorePlan, made: VmRef, old: VmRef | None, *, was_up: bool) -> None:
    """Put the names back, and the old VM to work if it was; the failure that led here is what counts."""
    try:
        made = target.stop_vm(made, timeout_s=STOP_TIMEOUT_S)
        target.rename_vm(made, plan.working_name)
        if old is not None:
            old = target.rename_vm(old, plan.name)
            if was_up:
                target.start_vm(old, timeout_s=plan.timeout_s)
    except EngineError as error:
        log_second(error, f"VM {plan.name!r}: the old VM could not be put back in its place")
