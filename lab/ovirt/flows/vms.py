"""A VM starts and stops. Its qemu is real; no guest runs in it, but what writes to its disks writes through qemu."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.model import Vm
from lab.ovirt.router import Refusal

STARTED, STOPPED, RUNNING = 153, 33, 30


def start_vm(engine: Engine, vm: Vm) -> None:
    """Begin to start it."""
    if vm.status not in ("down", "suspended", "paused"):
        raise Refusal(409, f"[Cannot run VM. VM is {vm.status}.]")
    engine.require_unlocked(vm, "run VM")
    engine.require_no_backup(vm, "run VM")
    for disk in engine.plugged(vm):
        engine.require_disk_ok(disk, "run VM")
    vm.job = engine.begin_job(f"Launching VM {vm.name}")
    vm.host = next(iter(engine.inventory.hosts), None)
    engine.tell(STARTED, f"VM {vm.name} was started.", vm=vm.id)
    engine.enter("vm", vm, "wait_for_launch", engine.delay("vm.wait_for_launch"))


def stop_vm(engine: Engine, vm: Vm) -> None:
    """Begin to stop it."""
    if vm.status == "down":
        raise Refusal(409, "[Cannot stop VM. VM is not running.]")
    engine.require_no_backup(vm, "stop VM")
    vm.job = engine.begin_job(f"Stopping VM {vm.name}")
    vm.agent = False
    engine.enter("vm", vm, "powering_down", engine.delay("vm.powering_down"))


def step_vm(engine: Engine, vm: Vm) -> None:
    """Take a VM to its next status."""
    if vm.status == "powering_down":
        engine.machine(vm).stop()
    with engine.lock:
        _go_on(engine, vm)


def _go_on(engine: Engine, vm: Vm) -> None:
    if vm.status == "wait_for_launch":
        engine.enter("vm", vm, "powering_up", engine.delay("vm.powering_up"))
    elif vm.status == "powering_up":
        agent_s = engine.delay("vm.agent") if vm.fqdn or vm.ips else -1
        engine.enter("vm", vm, "up", agent_s)
        engine.end_job(vm.job)
        engine.tell(RUNNING, f"VM {vm.name} started on Host {vm.host}.", vm=vm.id)
    elif vm.status == "up":
        vm.agent, vm.due = bool(vm.fqdn or vm.ips), 0.0
    elif vm.status == "powering_down":
        vm.host = None
        engine.enter("vm", vm, "down", -1)
        engine.end_job(vm.job)
        engine.tell(STOPPED, f"VM {vm.name} is down.", vm=vm.id)
    else:
        vm.due = 0.0
