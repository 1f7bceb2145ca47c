"""The simulated engine: its records, its rules for everything, and the real things behind it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ovirt.agent import AgentClient
from lab.ovirt.faults import Faults, Rule
from lab.ovirt.machine import Machine
from lab.ovirt.model import Disk, Event, Inventory, Job, Vm, new_id
from lab.ovirt.router import Refusal, not_found
from lab.ovirt.state import StateFile
from lab.ovirt.storage import Storage
from lab.ovirt.tickets import Tickets

LOG_LENGTH = 20000


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is started with."""

    name: str
    directory: Path
    run: Path
    """Sockets lie here: a path short enough for them."""
    ca: Path
    imageio_port: int
    imageio_control: Path


class Engine:
    """One engine. `lock` guards the records."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.agent = AgentClient(settings.run / "agent.sock")
        self.storage = Storage(settings.directory / "disks", settings.run, self.agent)
        self.tickets = Tickets(settings.imageio_control)
        self.faults = Faults()
        self.calls: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self.imageio_port = settings.imageio_port
        self._machines: dict[str, Machine] = {}
        self._state = StateFile(settings.directory / "state.json")
        self._correlation = threading.local()
        self.inventory = self._state.load() or Inventory()

    @property
    def version(self) -> tuple[int, ...]:
        """Of the engine it plays."""
        return tuple(int(part) for part in str(self.setting("version")).split("."))

    def setting(self, name: str) -> Any:
        """Read what the lab was told, e.g. delays."""
        return self.inventory.settings[name]

    def delay(self, what: str) -> float:
        """How long a phase lasts."""
        return float(self.setting("delays").get(what, self.setting("delay")))

    def save(self) -> None:
        """Make the records survive; cheap when nothing changed."""
        with self.lock:
            self._state.save(self.inventory)

    # Looking things up.

    def vm(self, id: str) -> Vm:
        """Find a VM or refuse; to a user who may not see it, it is not there."""
        found: Vm = self._find(self.inventory.vms, id, "VM")
        if not self.sees(found):
            raise not_found("VM", id)
        return found

    def sees(self, vm: Vm) -> bool:
        """Whether the user whose call this thread answers has a role on the VM."""
        user = self.inventory.users.get(getattr(self._correlation, "user", ""))
        return user is None or user.vms is None or vm.name in user.vms

    def disk(self, id: str) -> Disk:
        """Find a disk or refuse."""
        found: Disk = self._find(self.inventory.disks, id, "Disk")
        return found

    def find(self, kind: str, id: str) -> Any:
        """Find something by the name of its collection or refuse."""
        return self._find(getattr(self.inventory, kind), id, kind.rstrip("s").capitalize())

    def find_named(self, kind: str, given: Any, what: str) -> Any:
        """Find what an element points to by id or by name; None when it points to nothing."""
        if given is None:
            return None
        id, name = given.get("id"), given.findtext("name")
        for one in getattr(self.inventory, kind).values():
            if one.id == id or (id is None and one.name == name):
                return one
        raise Refusal(404, f"Entity not found: {what}: {'id=' + id if id else 'name=' + str(name)}")

    def machine(self, vm: Vm) -> Machine:
        """Return the qemu of a VM."""
        with self.lock:
            return self._machines.setdefault(vm.id, Machine(vm.id, self.storage))

    def plugged(self, vm: Vm) -> list[Disk]:
        """Name the disks that a VM's qemu serves."""
        disks = [self.inventory.disks[one.disk] for one in vm.attachments if one.active]
        return [disk for disk in disks if disk.storage_type == "image" and not disk.shareable]

    @staticmethod
    def _find(where: dict[str, Any], id: str, what: str) -> Any:
        if id not in where:
            raise not_found(what, id)
        return where[id]

    # Rules that many share.

    def demand(self, user: str, permit: str) -> None:
        """Refuse a user who may not do that."""
        found = self.inventory.users.get(user)
        permits = found.permits if found else []
        if "*" not in permits and permit not in permits:
            raise Refusal(403, "[User is not authorized to perform this action.]")

    def require_unlocked(self, vm: Vm, doing: str) -> None:
        """Refuse while something else works on the VM."""
        if vm.locked:
            raise Refusal(409, f"[Cannot {doing}. The VM {vm.name} is locked. Please try again in a few minutes.]")
        if any(one.status == "locked" for one in vm.snapshots):
            raise Refusal(409, f"[Cannot {doing}: The VM is performing an operation on a Snapshot.]")

    def require_no_backup(self, vm: Vm, doing: str) -> None:
        """Refuse while a backup of the VM runs."""
        if self.active_backup(vm.id):
            raise Refusal(409, f"[Cannot {doing}. The VM is during a backup operation.]")

    def active_backup(self, vm: str) -> Any:
        """Find the backup of a VM that has not ended."""
        ended = ("succeeded", "failed")
        return next((one for one in self.inventory.backups.values() if one.vm == vm and one.phase not in ended), None)

    def require_disk_ok(self, disk: Disk, doing: str) -> None:
        """Refuse a disk something else works on."""
        if disk.status == "locked":
            raise Refusal(409, f"[Cannot {doing}: Disk {disk.name} is locked. Please try again in a few minutes.]")
        if disk.status != "ok":
            raise Refusal(409, f"[Cannot {doing}: Disk {disk.name} is {disk.status}.]")

    # The audit log and the jobs.

    def begin_call(self, correlation: str, user: str = "") -> None:
        """Remember whose work this thread does now."""
        self._correlation.id = correlation
        self._correlation.user = user

    @property
    def correlation(self) -> str:
        """The correlation id of the call that this thread answers."""
        return getattr(self._correlation, "id", "") or ""

    def tell(self, code: int, description: str, *about: str, severity: str = "normal", vm: str | None = None) -> None:
        """Write a line into the audit log."""
        with self.lock:
            events = self.inventory.events
            number = events[-1].id + 1 if events else 1
            correlation = self.correlation
            ids = [one for one in (*about, vm) if one]
            events.append(Event(number, code, severity, description, time.time(), correlation, ids, vm))
            del events[:-5000]

    def begin_job(self, description: str, *, ended: bool = False) -> str:
        """Note what a call set going; return the job's id."""
        with self.lock:
            now = time.time()
            job = Job(new_id(), self.correlation, description, "finished" if ended else "started", now)
            job.ended = now if ended else 0.0
            self.inventory.jobs[job.id] = job
            for old in list(self.inventory.jobs)[:-2000]:
                del self.inventory.jobs[old]
            return job.id

    def end_job(self, id: str | None, *, failed: bool = False) -> None:
        """Note that it is done."""
        with self.lock:
            job = self.inventory.jobs.get(id or "")
            if job and job.status == "started":
                job.status, job.ended = ("failed" if failed else "finished"), time.time()

    # Faults.

    def enter(self, kind: str, thing: Any, phase: str, delay_s: float, **facts: Any) -> Rule | None:
        """Put a thing into a phase, or where a fault wants it instead; return the fault."""
        rule = self.faults.take_phase(kind, {"phase": phase, "id": thing.id, **facts})
        attribute = "phase" if hasattr(thing, "phase") else "status"
        if rule is not None:
            phase, delay_s = self._bend(rule, kind, phase, delay_s)
        with self.lock:
            setattr(thing, attribute, phase)
            thing.due = time.time() + delay_s if delay_s >= 0 else 0.0
        if rule is not None:
            self.act(rule, thing)
        return rule

    @staticmethod
    def _bend(rule: Rule, kind: str, phase: str, delay_s: float) -> tuple[str, float]:
        if rule.action == "phase":
            return str(rule.value), 0.01
        if rule.action == "failed":
            return ("finished_failure" if kind == "transfer" else "failed"), 0.01
        if rule.action == "paused":
            return "paused_system", 0.01
        if rule.action == "stuck":
            return phase, 1e9
        if rule.action == "delay":
            return phase, max(delay_s, 0.0) + float(rule.value)
        return phase, delay_s

    def act(self, rule: Rule, thing: Any = None) -> None:
        """Do what a fault does to the host."""
        if rule.action in ("kill_imageio", "restart_imageio"):
            self.agent.ask("imageio", action=rule.action.split("_")[0])
        elif rule.action == "crash_qemu":
            self.machine(self.vm(str(rule.value or getattr(thing, "vm", "")))).stop(kill=True)
        elif rule.action == "kill_engine":
            os.kill(os.getpid(), signal.SIGKILL)
