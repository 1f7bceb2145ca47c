"""Backups of a simulated oVirt site: what is in them is what the guest held when the point was opened."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from tests.integration.ovirt.stage import SIZE, Stage, connect, digest

from vmferry import operations
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.units import MiB
from vmferry.operations.values import OpenBackup
from vmferry.platforms.errors import NoRoom, NotThere, VmBusy
from vmferry.vault import VaultBusy, list_backups, restore
from vmferry.vault.catalogue import list_shelves


def disks_of(done: dict[str, Any]) -> list[tuple[str, str]]:
    return [(disk["mode"], disk["method"]) for disk in done["disks"]]


def restored(stage: Stage, vm: str, backup: str, disk: str) -> str:
    """What the vault gives back, without any site."""
    path = stage.tmp / f"back-{backup}-{disk}.raw"
    restore(stage.vault, vm, {disk: EndpointSpec("file", str(path))}, backup=backup)
    return digest(path)


def test_each_point_of_a_chain_holds_what_the_guest_held_then(stage: Stage) -> None:
    vm = stage.add_vm(2)
    names = [f"{vm.name}_Disk1", f"{vm.name}_Disk2"]
    held: dict[str, list[str]] = {}
    for number in range(4):
        run, policy = stage.run(), stage.policy(vm, consistency="crash")
        opened = operations.open_point(stage.source, stage.vault, policy, run)
        held[opened.backup] = [digest(path) for path in stage.witness(vm, f"held{number}").values()]
        # The guest goes on writing while its point is read: none of it may be in this backup, all of it in the next.
        stage.write(vm.disks[0], seed=100 + number)
        carried = OpenBackup.from_json(opened.to_json())
        for name in names:
            operations.back_up_disk(stage.source, carried, name)
        stage.write(vm.disks[1], seed=200 + number)
        assert operations.close_point(stage.source, vm.id, run)["closed"]
        done = operations.publish(carried, source=stage.source)
        assert disks_of(done) == [("full", "full")] * 2 if number == 0 else [("incremental", "dirty")] * 2
        assert number == 0 or done["read_bytes"] < 4 * MiB
    for backup, digests in held.items():
        assert [restored(stage, vm.name, backup, name) for name in names] == digests
    assert not stage.leftovers(stage.prod, vm)
    # Only what the next incremental begins at is kept at the engine.
    assert len(stage.prod.state()["vms"][vm.id]["checkpoints"]) == 1


def test_skipped_disks_are_told_and_raw_ones_are_read_whole(stage: Stage) -> None:
    vm = stage.add_vm(
        wishes=[
            {"size": SIZE, "name": "root"},
            {"size": 16 * MiB, "format": "raw", "name": "raw"},
            {"size": 1 * MiB, "name": "swap"},
            {"size": 1 * MiB, "lun": True, "name": "lun"},
            {"size": 1 * MiB, "shareable": True, "format": "raw", "name": "shared"},
            {"size": 1 * MiB, "active": False, "name": "off"},
        ]
    )
    policy = stage.policy(vm, consistency="crash", exclude_disks=("sw*",))
    info = operations.get_vm_info(stage.source, stage.vault, policy)
    assert info.disks == ("root", "raw")
    done = stage.back_up(vm, policy=policy)
    reasons = {one["disk"]: one["reason"] for one in done["skipped"]}
    assert set(reasons) == {"swap", "lun", "shared", "off"}
    assert "LUN" in reasons["lun"]
    assert "several VMs" in reasons["shared"]
    again = stage.back_up(vm, policy=policy)
    # Nobody writes down what changes on a raw disk, so it is read whole, and stored is what its proof says differs.
    assert disks_of(again) == [("incremental", "dirty"), ("incremental", "healed")]
    assert restored(stage, vm.name, again["backup"], "raw") == stage.copy_at(stage.prod, vm.disks[1])


def test_tracking_is_switched_on_where_it_was_off(stage: Stage) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE, "backup": "none"}])
    assert stage.source.describe(vm.name).disks[0].can_track
    assert disks_of(stage.back_up(vm)) == [("full", "full")]
    stage.write(vm.disks[0], seed=5)
    assert disks_of(stage.back_up(vm)) == [("incremental", "dirty")]


@pytest.mark.parametrize(
    ("more", "fault", "word"),
    [
        ({"fqdn": "web.example", "agent": True}, False, "file-system"),
        ({"fqdn": "web.example", "agent": True}, True, "crash"),
        ({"status": "down"}, False, "offline"),
    ],
    ids=["frozen", "does-not-freeze", "off"],
)
def test_a_backup_says_honestly_how_consistent_it_is(
    stage: Stage, more: dict[str, Any], fault: bool, word: str
) -> None:
    vm = stage.add_vm(**more)
    if fault:
        stage.prod.fault("failed", {"entity": "backup"}, detail="the guest does not freeze")
    done = stage.back_up(vm, policy=stage.policy(vm))
    assert done["consistency"] == word
    assert any("did not freeze" in note for note in done["notes"]) == fault
    assert not stage.leftovers(stage.prod, vm)


def test_a_guest_without_agent_is_backed_up_crash_consistent(stage: Stage) -> None:
    vm = stage.add_vm()
    done = stage.back_up(vm, policy=stage.policy(vm))
    assert done["consistency"] == "crash"
    assert done["notes"]


@pytest.mark.parametrize("how", ["broken", "dropped", "crashed", "forgotten"])
def test_what_changed_is_lost_and_the_disk_heals_in_the_same_run(stage: Stage, how: str) -> None:
    vm = stage.add_vm(2)
    stage.back_up(vm)
    stage.write(vm.disks[0], seed=1)
    (checkpoint,) = stage.prod.state()["vms"][vm.id]["checkpoints"]
    if how == "broken":
        stage.prod.hook("set_disk", disk=vm.disks[0], broken_bitmaps=True)
    elif how == "dropped":
        stage.prod.hook("drop_bitmap", disk=vm.disks[0], checkpoint=checkpoint)
    elif how == "crashed":
        stage.prod.hook("crash", vm=vm.id)
        stage.prod.hook("set_vm", vm=vm.id, status="up")
    else:
        stage.source.forget_checkpoints(vm.id, [])
    stage.write(vm.disks[0], seed=2)
    done = stage.back_up(vm)
    assert disks_of(done)[0] == ("incremental", "healed")
    assert done["notes"]
    # It stores what differs, not all that it read.
    assert done["disks"][0]["changed_bytes"] < done["disks"][0]["read_bytes"]
    assert restored(stage, vm.name, done["backup"], f"{vm.name}_Disk1") == stage.copy_at(stage.prod, vm.disks[0])
    assert not stage.leftovers(stage.prod, vm)
    stage.prod.hook("set_disk", disk=vm.disks[0], broken_bitmaps=False)
    stage.write(vm.disks[0], seed=3)
    assert disks_of(stage.back_up(vm)) == [("incremental", "dirty")] * 2


@pytest.fixture
def old_engine(stage: Stage) -> Iterator[Stage]:
    stage.prod.hook("settings", version="4.3.10")
    yield stage
    stage.prod.hook("settings", version="4.5.5")


def test_an_old_engine_is_backed_up_by_snapshots(old_engine: Stage) -> None:
    stage, vm = old_engine, old_engine.add_vm(2)
    assert stage.source.check().methods == ("snapshot",)
    first = stage.back_up(vm)
    stage.write(vm.disks[1], seed=3)
    second = stage.back_up(vm)
    assert disks_of(first) == [("full", "full")] * 2
    assert disks_of(second) == [("incremental", "healed")] * 2
    for number, disk in enumerate(vm.disks):
        name = f"{vm.name}_Disk{number + 1}"
        assert restored(stage, vm.name, second["backup"], name) == stage.copy_at(stage.prod, disk)
    assert not stage.leftovers(stage.prod, vm)


def test_two_runs_of_one_vm_take_turns_and_a_dead_one_is_ended(stage: Stage) -> None:
    vm = stage.add_vm()
    policy = stage.policy(vm, consistency="crash")
    first, second = stage.run(), stage.run()
    # An id holds the second: an hour earlier, it is not the one that the second run gets.
    earlier = datetime.now(UTC) - timedelta(hours=1)
    opened = operations.open_point(stage.source, stage.vault, policy, first, now=earlier)
    assert operations.open_point(stage.source, stage.vault, policy, first) == opened
    with pytest.raises(VaultBusy, match=first.text):
        operations.open_point(stage.source, stage.vault, policy, second)
    with connect(stage.prod) as other, pytest.raises(VmBusy, match="is being backed up by run"):
        other.open_point(other.describe(vm.name), second, order_of(opened))
    done = stage.back_up(vm, second, is_dead=lambda run: run == first.text)
    assert done["backup"] != opened.backup
    assert not stage.leftovers(stage.prod, vm)
    assert [one.id for one in list_backups(stage.vault)] == [done["backup"]]


def order_of(opened: OpenBackup) -> Any:
    from vmferry.platforms.points import PointOrder

    return PointOrder(tuple(disk.id for disk in opened.disks))


def test_a_foreign_backup_is_never_touched(stage: Stage) -> None:
    vm = stage.add_vm()
    with connect(stage.prod) as other:
        foreign = other._session.ask(
            "a backup of somebody else",
            lambda api: api.vms_service().vm_service(vm.id).backups_service().add(foreign_backup(vm.disks[0])),
        )
        with pytest.raises(VmBusy, match="somebody else"):
            stage.back_up(vm, is_dead=lambda run: True)
        operations.sweep(stage.source, lambda run: True, vault=stage.vault)
        assert foreign.id in stage.prod.state()["open_backups"]
    from vmferry.platforms.ovirt.backups import close_backup

    close_backup(stage.source._session, vm.id, foreign.id, vm.name)


def foreign_backup(disk: str) -> Any:
    from ovirtsdk4 import types

    return types.Backup(disks=[types.Disk(id=disk)], description="another product")


def test_disks_that_come_go_and_grow(stage: Stage) -> None:
    vm = stage.add_vm(2)
    stage.back_up(vm)
    shelf = list_shelves(stage.vault, vm.name)[0]
    assert [disk.to_checkpoint for disk in shelf.backups[0].disks] == [shelf.backups[0].disks[0].to_checkpoint] * 2
    one = stage.policy(vm, consistency="crash", exclude_disks=(f"{vm.name}_Disk2",))
    stage.write(vm.disks[1], seed=8)
    assert disks_of(stage.back_up(vm, policy=one)) == [("incremental", "dirty")]
    stage.write(vm.disks[1], seed=9)
    done = stage.back_up(vm)
    # The second disk's parent ended at another checkpoint than the first one's: its changes cannot be believed.
    assert disks_of(done) == [("incremental", "dirty"), ("incremental", "healed")]
    assert restored(stage, vm.name, done["backup"], f"{vm.name}_Disk2") == stage.copy_at(stage.prod, vm.disks[1])


def test_a_storage_domain_that_is_too_full_stops_it_before_anything_is_made(stage: Stage) -> None:
    vm = stage.add_vm()
    with connect(stage.prod, reserve_bytes=1 << 50) as careful:
        policy = stage.policy(vm)
        with pytest.raises(NoRoom, match="pauses all VMs"):
            operations.back_up_vm(careful, stage.vault, policy, stage.run())
    posts = [call for call in stage.prod.log() if call.get("method") == "POST" and vm.id in str(call.get("path"))]
    assert not posts
    assert not stage.leftovers(stage.prod, vm)


@pytest.mark.parametrize("status", ["paused", "migrating", "suspended"])
def test_a_vm_in_a_state_without_backups_is_busy(stage: Stage, status: str) -> None:
    vm = stage.add_vm()
    stage.prod.hook("set_vm", vm=vm.id, status=status)
    with pytest.raises(VmBusy, match=f"is {status}"):
        operations.check_vm_lock(stage.source, stage.policy(vm), stage.run())
    stage.prod.hook("set_vm", vm=vm.id, status="up")


def test_a_locked_disk_is_named(stage: Stage) -> None:
    vm = stage.add_vm()
    stage.prod.hook("set_disk", disk=vm.disks[0], status="locked")
    with pytest.raises(VmBusy, match=f"disk {vm.name}_Disk1: locked"):
        operations.check_vm_lock(stage.source, stage.policy(vm), stage.run())
    stage.prod.hook("set_disk", disk=vm.disks[0], status="ok")


def test_a_vm_that_is_gone_is_named_and_closing_it_is_fine(stage: Stage) -> None:
    vm = stage.add_vm()
    policy = stage.policy(vm)
    gone = policy.__class__.from_json({**policy.to_json(), "name": "no-such-vm"})
    with pytest.raises(NotThere, match="has no VM 'no-such-vm'"):
        operations.get_vm_info(stage.source, stage.vault, gone)
    assert operations.close_point(stage.source, "no-such-vm", stage.run()) == {"closed": []}


def test_a_thousand_vms_are_one_light_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with OvirtLab(tmp_path / "crowd", "crowd") as lab, connect(lab) as site:
        lab.hook("vms", count=1000, prefix="vm-")
        site.check()
        lab.hook("log", clear=True)
        began = time.monotonic()
        listed = list(site.list_vms())
        took_s = time.monotonic() - began
        (call,) = [one for one in lab.log() if "/ovirt-engine/api" in one["path"]]
    with capsys.disabled():
        print(f"\n  1000 VMs listed: 1 call, {call['bytes']} bytes on the wire, {took_s:.2f} s")
    assert len({vm.id for vm in listed}) == 1000
    assert call["path"].endswith("/vms")
    # Light: neither OVFs, which alone are some MiB, nor disks or cards.
    assert call["bytes"] < 200_000


def test_a_backup_of_ours_is_restored_by_qemu_img_alone(stage: Stage) -> None:
    vm = stage.add_vm(2)
    stage.back_up(vm)
    for number in range(2):
        stage.write(vm.disks[number], seed=60 + number)
        done = stage.back_up(vm)
    held = [stage.copy_at(stage.prod, disk) for disk in vm.disks]
    elsewhere = stage.tmp / "elsewhere"
    shutil.copytree(stage.vault.vm_dir(vm.name), elsewhere)
    shutil.rmtree(stage.vault.path)
    for disk, digest_then in zip(done["disks"], held, strict=True):
        raw = stage.tmp / f"{disk['name']}.raw"
        image = elsewhere / done["backup"] / f"{disk['name']}.qcow2"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
        assert digest(raw) == digest_then
