"""kill -9 in the middle of any step: the next try of the same run finds what was made, and nothing is left over."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from tests.integration.ovirt.stage import Stage

from vmferry import operations
from vmferry.engine.qemu.child import start_bound
from vmferry.vault import list_backups, verify

ROOT = Path(__file__).resolve().parents[3]
HOLD_S = 8.0
"""How long the engine holds its answer back, so that the kill comes first."""


def start(order: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "provider")])}
    with log.open("wb") as file:
        victim = start_bound(
            [sys.executable, "-m", "tests.integration.ovirt.victim"],
            stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=ROOT, env=environment,
        )  # fmt: skip
    assert victim.stdin
    victim.stdin.write(json.dumps(order).encode() + b"\n")
    victim.stdin.close()
    return victim


def kill_at(lab: OvirtLab, match: dict[str, Any], skip: int, order: dict[str, Any], log: Path) -> None:
    """Start the work, wait until the engine is at that call, and kill -9."""
    lab.fault("delay", match, value=HOLD_S, skip=skip)
    victim = start(order, log)
    deadline = time.monotonic() + 60
    while not lab.hook("faults")[-1]["used"]:
        assert victim.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
    victim.kill()
    victim.wait()
    lab.hook("faults", clear=True)


def settings(stage: Stage, lab: OvirtLab) -> dict[str, Any]:
    site = stage.source if lab is stage.prod else stage.target
    return dataclasses.asdict(site.settings)


BACKUP_MOMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "starting": ({"method": "POST", "path": "/backups$"}, 0),
    "opening-the-transfer": ({"method": "POST", "path": "/imagetransfers$"}, 0),
    "second-transfer": ({"method": "POST", "path": "/imagetransfers$"}, 1),
    "ending-the-transfer": ({"method": "POST", "path": "imagetransfers/.*/finalize$"}, 0),
    "finalizing": ({"method": "POST", "path": "backups/.*/finalize$"}, 0),
    "tidying": ({"method": "DELETE", "path": "/checkpoints/"}, 0),
}


@pytest.mark.parametrize("moment", BACKUP_MOMENTS)
def test_a_killed_backup_goes_on(stage: Stage, moment: str) -> None:
    match, skip = BACKUP_MOMENTS[moment]
    vm = stage.add_vm(2)
    stage.back_up(vm)
    stage.write(vm.disks[0], seed=4)
    run, policy = stage.run(), stage.policy(vm, consistency="crash")
    order = {
        "what": "backup", "vault": str(stage.vault.path), "run": run.text, "policy": policy.to_json(),
        "settings": settings(stage, stage.prod),
    }  # fmt: skip
    kill_at(stage.prod, match, skip, order, stage.tmp / "victim.log")
    done = stage.back_up(vm, run, policy=policy)
    assert (done["mode"], [one.id for one in list_backups(stage.vault)][-1]) == ("incremental", done["backup"])
    assert len(list_backups(stage.vault)) == 2
    assert verify(stage.vault, vm.name).sound
    assert not stage.leftovers(stage.prod, vm)
    assert "planted" not in (stage.tmp / "victim.log").read_text()


RESTORE_MOMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "creating-a-disk": ({"method": "POST", "path": "/disks$"}, 0),
    "creating-the-second": ({"method": "POST", "path": "/disks$"}, 1),
    "noting-the-first-write": ({"method": "PUT", "path": "/disks/"}, 0),
    "opening-the-upload": ({"method": "POST", "path": "/imagetransfers$"}, 0),
    "ending-the-upload": ({"method": "POST", "path": "/finalize$"}, 0),
    "reading-back": ({"method": "POST", "path": "/imagetransfers$"}, 2),
    "making-the-vm": ({"method": "POST", "path": "/vms$"}, 0),
    "setting-a-card": ({"method": "PUT", "path": "/nics/"}, 0),
    "noting-that-it-is-complete": ({"method": "PUT", "path": "/vms/[^/]*$"}, 0),
}


@pytest.mark.parametrize("moment", RESTORE_MOMENTS)
def test_a_killed_restore_goes_on(stage: Stage, moment: str) -> None:
    match, skip = RESTORE_MOMENTS[moment]
    vm = stage.add_vm(2)
    stage.back_up(vm)
    held = sorted(stage.copy_at(stage.prod, disk) for disk in vm.disks)
    run, rule, job = stage.run("restore"), stage.rule(), stage.tmp / "job"
    order = {
        "what": "restore", "vault": str(stage.vault.path), "run": run.text, "vm": vm.name, "job_dir": str(job),
        "rule": dataclasses.asdict(rule), "settings": settings(stage, stage.dr),
    }  # fmt: skip
    kill_at(stage.dr, match, skip, order, stage.tmp / "victim.log")
    done = stage.restore(vm, run, rule=rule, job_dir=job)
    disks = stage.restored_disks(stage.dr, done["vm_id"])
    assert sorted(stage.copy_at(stage.dr, disk) for disk in disks) == held
    assert [one for one in stage.target.leases() if one.owner == run.text] == []
    assert not set(disks) & set(stage.dr.state()["locked_disks"])


@pytest.mark.parametrize("moment", ["opening-the-upload", "making-the-vm"])
def test_what_a_dead_run_left_is_swept_up(stage: Stage, moment: str) -> None:
    match, skip = RESTORE_MOMENTS[moment]
    vm = stage.add_vm(2)
    stage.back_up(vm)
    run, job = stage.run("restore"), stage.tmp / "job"
    order = {
        "what": "restore", "vault": str(stage.vault.path), "run": run.text, "vm": vm.name, "job_dir": str(job),
        "rule": dataclasses.asdict(stage.rule()), "settings": settings(stage, stage.dr),
    }  # fmt: skip
    kill_at(stage.dr, match, skip, order, stage.tmp / "victim.log")
    assert operations.sweep(stage.target, lambda owner: False)["released"] == []
    proven = [one.id for one in stage.target.leases() if one.owner == run.text and one.holds_verified_bytes]
    swept = operations.sweep(stage.target, lambda owner: owner == run.text)
    assert swept["failed"] == []
    left = [one for one in stage.target.leases() if one.owner == run.text]
    # Proven bytes are a person's to remove; everything else is gone.
    assert [one.id for one in left] == proven
    assert bool(proven) == (moment == "making-the-vm")
    assert stage.target.find_vm(f"{vm.name}_restored") is None


def test_an_upload_that_begins_late_does_not_cost_a_proven_disk(stage: Stage) -> None:
    """The engine carries out what the killed try asked for only when the next try has made the VM."""
    match, skip = RESTORE_MOMENTS["opening-the-upload"]
    vm = stage.add_vm()
    stage.back_up(vm)
    held, run, job = stage.copy_at(stage.prod, vm.disks[0]), stage.run("restore"), stage.tmp / "job"
    order = {
        "what": "restore", "vault": str(stage.vault.path), "run": run.text, "vm": vm.name, "job_dir": str(job),
        "rule": dataclasses.asdict(stage.rule()), "settings": settings(stage, stage.dr),
    }  # fmt: skip
    kill_at(stage.dr, match, skip, order, stage.tmp / "victim.log")
    done = stage.restore(vm, run, rule=stage.rule(), job_dir=job)
    wait_until(lambda: [one.parent for one in stage.target.leases() if one.owner == run.text] == ["upload"])
    swept = operations.sweep(stage.target, lambda owner: owner == run.text)
    assert swept["failed"] == []
    (disk,) = stage.restored_disks(stage.dr, done["vm_id"])
    assert stage.copy_at(stage.dr, disk) == held
    assert [one for one in stage.target.leases() if one.owner == run.text] == []
    assert disk not in stage.dr.state()["locked_disks"]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
