"""What a site, a vault or an admin gets wrong, besides what an engine does to us: one clear error, and nothing changed.

Also what is no error: disks that come, go, grow and move between two backups.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from lab.pki import create_certificate
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import until
from tests.integration.ovirt.stage import Stage, connect, digest

from vmferry import operations
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import BadInput, EngineError, NoSpace, Retry, TrustError
from vmferry.engine.units import MiB
from vmferry.platforms.errors import NameTaken, NoRoom, NotThere
from vmferry.vault import open_vault, restore, verify

SIZE = 8 * MiB


def change(stage: Stage, what: Callable[[Any], Any]) -> Any:
    """Change something at the engine, as its admin does."""
    return stage.source._session.ask("an admin at work", what)


def hung(api: Any, vm: LabVm) -> Any:
    return api.vms_service().vm_service(vm.id).disk_attachments_service()


def add_disk(stage: Stage, vm: LabVm, alias: str) -> str:
    disk = types.Disk(
        name=alias, provisioned_size=SIZE, format=types.DiskFormat.COW, backup=types.DiskBackup.INCREMENTAL,
        storage_domains=[types.StorageDomain(name="prod-data")],
    )  # fmt: skip
    wanted = types.DiskAttachment(disk=disk, interface=types.DiskInterface.VIRTIO_SCSI, active=True)
    made = str(change(stage, lambda api: hung(api, vm).add(wanted)).disk.id)
    until(lambda: stage.prod.state()["disks"][made]["status"] == "ok", "the new disk is ok")
    return made


def check_all_disks(stage: Stage, vm: LabVm, done: dict[str, Any]) -> dict[str, str]:
    """Every disk in the backup is what the guest has; gives how each was read."""
    for disk in done["disks"]:
        path = stage.tmp / f"{done['backup']}-{disk['name']}.raw"
        restore(stage.vault, vm.name, {disk["name"]: EndpointSpec("file", str(path))}, backup=done["backup"])
        assert digest(path) == stage.copy_at(stage.prod, disk["id"]), disk["name"]
    assert verify(stage.vault, vm.name).sound
    assert not stage.leftovers(stage.prod, vm)
    return {disk["id"]: disk["method"] for disk in done["disks"]}


def test_a_disk_that_is_added_is_whole_in_the_next_backup(stage: Stage) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE}])
    stage.back_up(vm)
    added = add_disk(stage, vm, "data")
    stage.write(added, seed=1, size=SIZE)
    stage.write(vm.disks[0], seed=2, size=SIZE)
    assert check_all_disks(stage, vm, stage.back_up(vm)) == {vm.disks[0]: "dirty", added: "full"}
    stage.write(added, seed=3, size=SIZE)
    assert check_all_disks(stage, vm, stage.back_up(vm)) == {vm.disks[0]: "dirty", added: "dirty"}


def test_a_disk_that_is_removed_is_not_missed_and_its_successor_is_no_child_of_it(stage: Stage) -> None:
    vm = stage.add_vm(2, wishes=[{"size": SIZE}, {"size": SIZE, "name": "data"}])
    first = stage.back_up(vm)
    held = stage.copy_at(stage.prod, vm.disks[1])
    change(stage, lambda api: hung(api, vm).attachment_service(vm.disks[1]).remove(detach_only=False))
    assert check_all_disks(stage, vm, stage.back_up(vm)) == {vm.disks[0]: "dirty"}
    added = add_disk(stage, vm, "data")
    stage.write(added, seed=4, size=SIZE)
    done = stage.back_up(vm)
    assert check_all_disks(stage, vm, done) == {vm.disks[0]: "dirty", added: "full"}
    # Both are called "data", each in its own backups: what the first one held is still there.
    path = stage.tmp / "first.raw"
    restore(stage.vault, vm.name, {"data": EndpointSpec("file", str(path))}, backup=first["backup"])
    assert digest(path) == held


def test_a_disk_that_grew_is_as_large_in_the_next_backup(stage: Stage) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE}])
    stage.back_up(vm)
    larger = types.Disk(provisioned_size=2 * SIZE)
    change(stage, lambda api: api.disks_service().disk_service(vm.disks[0]).update(larger))
    stage.write(vm.disks[0], seed=5, size=2 * SIZE)
    done = stage.back_up(vm)
    assert done["disks"][0]["size_bytes"] == 2 * SIZE
    assert done["mode"] == "incremental"
    check_all_disks(stage, vm, done)


@pytest.mark.parametrize("keeps", [True, False], ids=["with-its-bitmaps", "without"])
def test_a_disk_that_moved_to_other_storage_goes_on_with_its_chain(stage: Stage, *, keeps: bool) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE}])
    stage.back_up(vm)
    domain = stage.prod.hook("domain", name=stage.new_name())["id"]
    stage.prod.hook("set_disk", disk=vm.disks[0], domain=domain)
    if not keeps:  # moved under a running VM: the bitmaps stay behind
        (checkpoint,) = stage.prod.state()["vms"][vm.id]["checkpoints"]
        stage.prod.hook("drop_bitmap", disk=vm.disks[0], checkpoint=checkpoint)
    stage.write(vm.disks[0], seed=6, size=SIZE)
    done = stage.back_up(vm)
    assert check_all_disks(stage, vm, done) == {vm.disks[0]: "dirty" if keeps else "healed"}
    assert done["mode"] == "incremental"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with next to no room."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "vmferry-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_a_vault_that_is_full_is_told_before_and_outlasted_after(stage: Stage, small: Path) -> None:
    vm, run = stage.add_vm(wishes=[{"size": SIZE}]), stage.run()
    stage.vault_path = small / "vault"
    policy = stage.policy(vm, consistency="crash")
    with pytest.raises(NoSpace, match=r"has only .* free") as before:
        operations.validate_environment(stage.source, stage.vault, policy)
    assert "prune" in before.value.fix
    with pytest.raises(EngineError) as caught:
        stage.back_up(vm, run)
    assert caught.value.retry is Retry.AFTER_CLEANUP
    assert vm.name in caught.value.what
    assert caught.value.fix
    assert not stage.leftovers(stage.prod, vm)
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    check_all_disks(stage, vm, stage.back_up(vm, run))


def test_a_vault_that_cannot_be_is_named(stage: Stage) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE}])
    (stage.tmp / "file").write_text("")
    with pytest.raises(BadInput, match=r"vault .*file/vault") as caught:
        operations.validate_environment(
            stage.source, open_vault(stage.tmp / "file" / "vault"), stage.policy(vm, consistency="crash")
        )
    assert "backup_directory" in caught.value.fix


def test_a_target_that_is_wrong_changes_nothing(stage: Stage) -> None:
    vm = stage.add_vm(wishes=[{"size": SIZE}])
    stage.back_up(vm)
    tight = stage.new_name()
    stage.dr.hook("domain", name=tight, size=1 << 20)
    stage.restore(vm)
    before = stage.dr.state()
    wrong: tuple[tuple[dict[str, Any], type[EngineError], str, str], ...] = (
        ({"cluster": "nowhere", "suffix": "_b"}, NotThere, "no cluster 'nowhere'", "target_cluster_name"),
        ({"storage_domain": "nowhere", "suffix": "_b"}, NotThere, "no storage domain 'nowhere'", "policy"),
        ({"storage_domain": tight, "suffix": "_b"}, NoRoom, f"storage domain '{tight}' has", "another storage domain"),
        ({}, NameTaken, f"has a VM '{vm.name}_restored' already; nothing was changed", "replace_existing_vm"),
    )
    for more, error, said, fix in wrong:
        with pytest.raises(error, match=said) as caught:
            stage.restore(vm, rule=stage.rule(**more))
        assert fix in caught.value.fix
    assert stage.dr.state() == before


def test_a_certificate_that_ended_is_told_from_an_engine_that_is_away(tmp_path: Path) -> None:
    create_certificate(tmp_path / "prod" / "pki", days=-1)
    with OvirtLab(tmp_path / "prod", "prod") as lab, connect(lab) as site:
        with pytest.raises(TrustError, match="expired") as caught:
            site.check()
        assert caught.value.retry is Retry.NEVER
        assert "prod" in caught.value.what
        assert "ca_fingerprint" in caught.value.fix


def test_an_authority_that_changed_is_never_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with OvirtLab(tmp_path / "prod", "prod") as lab, connect(lab, ca_file=str(lab.ca)) as site:
        assert site.check().name == "prod"
        pinned, kept = lab.fingerprint, tmp_path / "kept.pem"
        kept.write_bytes(lab.ca.read_bytes())
    for path in (tmp_path / "prod" / "pki").iterdir():
        path.unlink()
    with OvirtLab(tmp_path / "prod", "prod") as again:
        assert again.fingerprint != pinned
        by_file = connect(again, ca_file=str(kept), ca_fingerprint=None)
        by_pin = connect(again, ca_fingerprint=pinned)
        for site in (by_file, by_pin):
            with site, pytest.raises(TrustError) as caught:
                site.check()
            assert caught.value.retry is Retry.NEVER
            assert again.password_secret not in str(caught.value)
