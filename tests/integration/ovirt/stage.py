"""What the tests of the oVirt driver share: a source, a target, a vault, VMs, and who may not be left over."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm

from vmferry import operations
from vmferry.engine.units import MiB
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.platforms.runs import RunId
from vmferry.policy.days import Weekdays
from vmferry.policy.schedules import Schedule
from vmferry.policy.vm import FullRule, Placement, RestoreRule, VmPolicy
from vmferry.vault import Vault, open_vault

SIZE = 48 * MiB


def connect(lab: OvirtLab, **more: Any) -> OvirtSite:
    said: dict[str, Any] = {
        "site": lab.name,
        "url": lab.url,
        "user": lab.user,
        "password": lab.password_secret,
        "ca_fingerprint": lab.fingerprint,
        "timeout_s": 30,
        "outage_s": 40,
        "wait_s": 60,
        "poll_s": 0.1,
        "reserve_bytes": 1 * MiB,
    }
    return OvirtSite(OvirtSettings(**{**said, **more}))


@dataclass
class Stage:
    """One test's world."""

    prod: OvirtLab
    dr: OvirtLab
    source: OvirtSite
    target: OvirtSite
    tmp: Path
    new_name: Callable[[], str]
    runs: int = 0
    vault_path: Path | None = None
    """Of a vault that several tests read."""

    @property
    def vault(self) -> Vault:
        return open_vault(self.vault_path or self.tmp / "vault")

    def add_vm(self, disks: int = 1, **more: Any) -> LabVm:
        """A VM whose disks have random bytes, with holes."""
        wishes: list[dict[str, Any]] = more.pop("wishes", [{"size": SIZE} for _ in range(disks)])
        vm = self.prod.add_vm(self.new_name(), wishes, **more)
        for number, (disk, wish) in enumerate(zip(vm.disks, wishes, strict=True)):
            if disk in vm.guest_urls and more.get("status", "up") == "up":
                self.write(disk, seed=number, places=6, size=int(wish["size"]))
        return vm

    def write(self, disk: str, *, seed: int, places: int = 2, length: int = 200_000, size: int = SIZE) -> None:
        """Let the guest write random bytes in some places, and discard one."""
        dice = random.Random(f"{disk} {seed}")
        length = min(length, size // 4) // 512 * 512
        writes: list[dict[str, Any]] = [
            {
                "offset": dice.randrange(0, size - length) // 512 * 512,
                "data": base64.b64encode(dice.randbytes(length)).decode(),
            }
            for _ in range(places)
        ]
        writes.append({"offset": dice.randrange(0, size // 65536 - 1) * 65536, "zero": True, "length": 65536})
        self.prod.hook("write_many", disk=disk, writes=writes)

    def run(self, what: str = "backup") -> RunId:
        self.runs += 1
        return RunId(f"{what}_{self.tmp.name}/manual__{self.runs}")

    def policy(self, vm: LabVm, **more: Any) -> VmPolicy:
        return VmPolicy(
            name=vm.name, site="prod", dag_id=f"backup_{vm.name}", key=vm.name, schedule=SCHEDULE,
            placement=Placement(pool="p"), full=FullRule(frequency="never", max_chain=50, max_age_days=1000), **more,
        )  # fmt: skip

    def back_up(self, vm: LabVm, run: RunId | None = None, **more: Any) -> dict[str, Any]:
        policy = more.pop("policy", None) or self.policy(vm, consistency="crash")
        return operations.back_up_vm(self.source, self.vault, policy, run or self.run(), **more)

    def witness(self, vm: LabVm, name: str) -> dict[str, Path]:
        """What the guest's disks hold now, by another way than ours."""
        return {
            disk: self.prod.copy_disk(disk, self.tmp / f"{name}-{number}.raw") for number, disk in enumerate(vm.disks)
        }

    def rule(self, **more: Any) -> RestoreRule:
        said = {"site": "dr", "cluster": "Default", "storage_domain": "dr-data", "timeout_s": 60}
        return RestoreRule(**{**said, **more})

    def restore(
        self, vm: LabVm, run: RunId | None = None, *, rule: RestoreRule | None = None, **more: Any
    ) -> dict[str, Any]:
        return operations.restore_vm(
            self.target, self.vault, vm.name, rule or self.rule(), run or self.run("restore"),
            job_dir=more.pop("job_dir", self.tmp / f"job-{self.runs}"), **more,
        )  # fmt: skip

    def restored_disks(self, lab: OvirtLab, vm_id: str) -> list[str]:
        found: list[str] = lab.state()["vms"][vm_id]["disks"]
        return found

    def copy_at(self, lab: OvirtLab, disk: str) -> str:
        path = lab.copy_disk(disk, self.tmp / f"{lab.name}-{disk}.raw")
        return digest(path)

    def leftovers(self, lab: OvirtLab, vm: LabVm | None = None) -> dict[str, Any]:
        """All that must be empty when nothing runs; of one VM, since tests of one session share the site."""
        state = lab.state()
        disks = set(vm.disks) if vm else set(state["disks"])
        left = {
            "locked": [one for one in state["locked_disks"] if one in disks],
            "illegal": [one for one in state["illegal_disks"] if one in disks],
            "snapshots": state["vms"][vm.id]["snapshots"] if vm else state["snapshots"],
            "points": self.source.open_owners(vm.id) if vm else list(state["open_backups"]),
            "transfers": [] if vm else list(state["open_transfers"]),
        }
        return {kind: things for kind, things in left.items() if things}


SCHEDULE = Schedule(Weekdays(frozenset(range(7))), (time(2),))


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
