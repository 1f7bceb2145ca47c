"""Restores to a simulated oVirt site: the VM is what was backed up, and nothing that is proven is ever lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from tests.integration.ovirt.stage import SIZE, Stage, connect, digest

from vmferry import operations
from vmferry.engine.errors import BadInput, ProofMismatch
from vmferry.operations.restore import plan_restore
from vmferry.operations.tracing import moment_of
from vmferry.operations.values import RestorePlan
from vmferry.platforms.errors import BadState, Conflict, NameTaken, NoRoom, NotThere
from vmferry.platforms.orders import DiskRef
from vmferry.platforms.plain import from_plain
from vmferry.policy.vm import RestoreRule
from vmferry.vault import NoSuchBackup


def api(stage: Stage, what: Callable[[Any], Any]) -> Any:
    return stage.target._session.ask("looking", what)


def nics(stage: Stage, vm_id: str) -> list[tuple[bool, bool]]:
    found = api(stage, lambda api: api.vms_service().vm_service(vm_id).nics_service().list())
    return [(card.plugged, card.linked) for card in found]


def hung(stage: Stage, vm_id: str) -> dict[str, tuple[str, bool]]:
    found = api(stage, lambda api: api.vms_service().vm_service(vm_id).disk_attachments_service().list())
    return {one.disk.id: (one.interface.value, one.bootable) for one in found}


Saved = tuple[LabVm, list[str]]


def save(stage: Stage) -> Saved:
    """Make a VM of two disks and back it up, in full and incrementally; give what its disks held then as well."""
    vm = stage.add_vm(
        wishes=[{"size": SIZE, "interface": "virtio"}, {"size": SIZE}],
        nics=[{"name": "nic1"}, {"name": "nic2"}],
    )
    stage.back_up(vm)
    stage.write(vm.disks[0], seed=77)
    stage.back_up(vm)
    return vm, [digest(path) for path in stage.witness(vm, "saved").values()]


@pytest.fixture(scope="module")
def shelf(prod: OvirtLab, dr: OvirtLab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Saved]:
    """A vault that tests only read."""
    tmp = tmp_path_factory.mktemp("shelf")
    with connect(prod) as source, connect(dr) as target:
        made = save(Stage(prod, dr, source, target, tmp, lambda: f"saved-{tmp.name}"))
    return tmp / "vault", made


@pytest.fixture
def kept(stage: Stage, shelf: tuple[Path, Saved]) -> Saved:
    """The VM of that vault."""
    stage.vault_path, saved = shelf
    return saved


@pytest.fixture
def saved(stage: Stage) -> Saved:
    """A VM of this test alone."""
    return save(stage)


def check_same(stage: Stage, vm_id: str, digests: list[str], lab: Any = None) -> None:
    lab = lab or stage.dr
    assert sorted(stage.copy_at(lab, disk) for disk in stage.restored_disks(lab, vm_id)) == sorted(digests)


def test_a_vm_is_restored_where_nothing_of_it_is(stage: Stage, saved: Saved) -> None:
    vm, digests = saved
    done = stage.restore(vm)
    assert done["vm"] == f"{vm.name}_restored"
    # Its ids were free, so it keeps them: the next backup at this site goes on with the chain.
    assert done["vm_id"] == vm.id
    assert hung(stage, vm.id) == {vm.disks[0]: ("virtio", True), vm.disks[1]: ("virtio_scsi", False)}
    assert nics(stage, vm.id) == [(False, False)] * 2
    assert done["status"] == "down"
    check_same(stage, vm.id, digests)
    assert not stage.leftovers(stage.dr, vm)
    assert json.loads(json.dumps(done)) == done
    assert operations.detect_new_backups(stage.target, stage.vault, vm.name, stage.rule())["new"] == []
    later = stage.back_up(vm)
    assert operations.detect_new_backups(stage.target, stage.vault, vm.name, stage.rule())["new"] == [later["backup"]]


def test_every_kept_backup_can_be_restored_in_steps(stage: Stage, kept: Saved) -> None:
    vm, digests = kept
    rule, run = stage.rule(suffix="_steps", disk_interface="sata"), stage.run("restore")
    seen = operations.validate_restore_environment(stage.target, stage.vault, vm.name, rule, run)
    plan = RestorePlan.from_json(json.loads(json.dumps(seen["plan"])))
    assert plan == plan_restore(stage.target, stage.vault, vm.name, rule, run)
    disks = operations.create_disks(stage.target, plan)
    assert operations.create_disks(stage.target, plan) == disks
    proven = []
    for disk in disks:
        operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")
        proven.append(operations.verify_disk(stage.target, plan, disk))
        assert operations.verify_disk(stage.target, plan, disk) == proven[-1]
        assert operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")["written_bytes"] == 0
    made = operations.create_vm(stage.target, plan, proven)
    assert operations.create_vm(stage.target, plan, proven) == made
    done = operations.finish_restore(stage.target, plan, made)
    assert operations.finish_restore(stage.target, plan, made) == done
    assert operations.roll_back(stage.target, plan) == {"removed": [], "proven_disks_kept": []}
    assert {how for how, _ in hung(stage, done.vm_id).values()} == {"sata"}
    check_same(stage, done.vm_id, digests)


def test_restores_of_one_vm_that_were_planned_at_once_do_not_meet(stage: Stage, saved: Saved) -> None:
    vm, digests = saved
    runs = [stage.run("restore") for _ in range(3)]
    plans = [
        plan_restore(stage.target, stage.vault, vm.name, stage.rule(suffix=f"_{number}"), run)
        for number, run in enumerate(runs)
    ]
    assert [[disk.id for disk in plan.disks] for plan in plans] == [list(vm.disks)] * 3
    made = [operations.create_disks(stage.target, plan) for plan in plans]
    assert [operations.create_disks(stage.target, plan) for plan in plans] == made
    assert len({disk["id"] for disks in made for disk in disks}) == 3 * len(vm.disks)
    removed = operations.roll_back(stage.target, plans[2])["removed"]
    assert len(removed) == len(vm.disks)
    assert not {disk["id"] for disk in made[2]} & set(stage.dr.state()["disks"])
    for number, (plan, disks) in enumerate(zip(plans[:2], made, strict=False)):
        proven = []
        for disk in disks:
            operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / f"job-{number}")
            proven.append(operations.verify_disk(stage.target, plan, disk))
        done = operations.finish_restore(stage.target, plan, operations.create_vm(stage.target, plan, proven))
        assert done.vm == f"{vm.name}_{number}"
        assert (done.vm_id == vm.id) == (number == 0)
        check_same(stage, done.vm_id, digests)


def test_a_vm_is_restored_next_to_its_original(stage: Stage, saved: Saved) -> None:
    vm, digests = saved
    rule = RestoreRule(site="prod", cluster="Default", storage_domain="prod-data", timeout_s=60)
    stage.write(vm.disks[0], seed=78)
    before = {disk: digest(path) for disk, path in stage.witness(vm, "before").items()}
    done = operations.restore_vm(
        stage.source, stage.vault, vm.name, rule, stage.run("restore"), job_dir=stage.tmp / "job"
    )
    assert done["vm_id"] != vm.id
    assert not set(stage.restored_disks(stage.prod, done["vm_id"])) & set(vm.disks)
    check_same(stage, done["vm_id"], digests, stage.prod)
    assert {disk: digest(path) for disk, path in stage.witness(vm, "after").items()} == before


def test_a_disk_is_not_uploaded_again_when_reading_it_back_was_cut_off(stage: Stage, kept: Saved) -> None:
    vm, digests = kept
    run = stage.run("restore")
    plan = plan_restore(stage.target, stage.vault, vm.name, stage.rule(suffix="_cut"), run)
    disk, other = operations.create_disks(stage.target, plan)
    operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")
    reference = from_plain(DiskRef, disk)
    stage.target.rereadable(reference)  # and here it was killed: the download stays open, and locks the disk
    assert operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")["written_bytes"] == 0
    # A disk whose root was wrong may have to be written again all the same.
    stage.target.writable(reference)
    stage.target.seal_disk(reference)
    operations.upload_disk(stage.target, plan, other, job_dir=stage.tmp / "job")
    proven = [operations.verify_disk(stage.target, plan, one) for one in (disk, other)]
    done = operations.finish_restore(stage.target, plan, operations.create_vm(stage.target, plan, proven))
    check_same(stage, done.vm_id, digests)
    assert [one for one in stage.target.leases() if one.owner == run.text] == []


def test_a_rehearsal_stands_in_no_restores_way(stage: Stage, saved: Saved) -> None:
    (vm, digests), run, rehearsal = saved, stage.run("restore"), stage.run("drill")
    drill = plan_restore(stage.target, stage.vault, vm.name, stage.rule(suffix="_drill"), rehearsal, keep_ids=False)
    restore = plan_restore(stage.target, stage.vault, vm.name, stage.rule(), run)
    operations.create_disks(stage.target, drill)
    operations.create_disks(stage.target, restore)
    assert {disk.id for disk in restore.disks} == set(vm.disks)
    assert drill.clone
    assert not restore.clone
    operations.roll_back(stage.target, drill)
    check_same(stage, stage.restore(vm, run)["vm_id"], digests)
    assert [one for one in stage.target.leases() if one.owner in (run.text, rehearsal.text)] == []


def test_a_started_vm_is_up_and_its_agent_answers(stage: Stage) -> None:
    vm = stage.add_vm(fqdn="web.example")
    stage.back_up(vm)
    rule = stage.rule(start=True, connect_networks=True)
    made = stage.restore(vm, rule=rule)
    assert made["status"] == "up"
    assert nics(stage, made["vm_id"]) == [(True, True)]


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "removed"])
def test_an_old_vm_gives_its_place_when_the_new_one_is_proven(stage: Stage, saved: Saved, keep: bool) -> None:
    vm, digests = saved
    old = stage.restore(vm, rule=stage.rule(start=True))
    stage.write(vm.disks[0], seed=79)
    stage.back_up(vm)
    digests = [digest(path) for path in stage.witness(vm, "newer").values()]
    with pytest.raises(NameTaken, match="nothing was changed"):
        stage.restore(vm)
    new = stage.restore(vm, rule=stage.rule(start=True, replace_existing=True, keep_old=keep))
    assert (new["vm"], new["status"]) == (old["vm"], "up")
    assert new["vm_id"] != old["vm_id"]
    check_same(stage, new["vm_id"], digests)
    vms = stage.dr.state()["vms"]
    assert (old["vm_id"] in vms) == keep
    if keep:
        assert vms[old["vm_id"]]["name"] == new["replaced"]
        assert vms[old["vm_id"]]["status"] == "down"


def test_a_vm_of_ours_under_the_name_is_told_from_a_strange_one(stage: Stage, saved: Saved) -> None:
    vm, _ = saved
    assert operations.standing_restore(stage.target, vm.name, stage.rule()) is None
    made = stage.restore(vm)
    assert operations.standing_restore(stage.target, vm.name, stage.rule()) == moment_of(made["backup"])
    stage.dr.add_vm(f"{vm.name}_strange", [{"size": SIZE}])
    assert operations.standing_restore(stage.target, vm.name, stage.rule(suffix="_strange")) is None


def test_the_old_vm_is_put_back_when_the_new_one_does_not_start(stage: Stage, saved: Saved) -> None:
    vm, _ = saved
    old = stage.restore(vm, rule=stage.rule(start=True))
    run, rule = stage.run("restore"), stage.rule(start=True, replace_existing=True, keep_old=False)
    stage.dr.fault("409", {"method": "POST", "path": "/start$"}, times=-1, detail="[no host has room]")
    with pytest.raises(Conflict, match="no host has room"):
        stage.restore(vm, run, rule=rule, job_dir=stage.tmp / "again")
    stage.dr.hook("faults", clear=True)
    vms = stage.dr.state()["vms"]
    assert vms[old["vm_id"]]["name"] == old["vm"]
    done = stage.restore(vm, run, rule=rule, job_dir=stage.tmp / "again")
    assert (done["vm"], done["status"]) == (old["vm"], "up")
    assert old["vm_id"] not in stage.dr.state()["vms"]


def test_networks_are_mapped_by_name(stage: Stage, kept: Saved) -> None:
    vm, _ = kept
    network = stage.new_name()
    profile = stage.dr.hook("network", name=network)["profile"]
    with pytest.raises(NotThere, match="network 'nowhere' for card nic1"):
        stage.restore(vm, rule=stage.rule(networks={"ovirtmgmt": "nowhere"}, suffix="_a"), keep_on_failure=False)
    done = stage.restore(vm, rule=stage.rule(networks={"*": network}, suffix="_b"))
    cards = api(stage, lambda api: api.vms_service().vm_service(done["vm_id"]).nics_service().list())
    assert [card.vnic_profile.id for card in cards] == [profile] * 2


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"cluster": "nowhere"}, NotThere, "no cluster 'nowhere'"),
        ({"storage_domain": "nowhere"}, NotThere, "no storage domain 'nowhere'"),
        ({"cluster": None}, BadInput, "does not say where"),
    ],
    ids=["cluster", "domain", "unsaid"],
)
def test_a_target_that_is_not_there_is_named_and_nothing_is_made(
    stage: Stage, kept: Saved, more: dict[str, Any], error: type[Exception], said: str
) -> None:
    vm, _ = kept
    before = stage.dr.state()
    rule = RestoreRule(**{"site": "dr", "cluster": "Default", "storage_domain": "dr-data", **more})
    with pytest.raises(error, match=said):
        stage.restore(vm, rule=rule)
    assert stage.dr.state()["disks"] == before["disks"]


def test_a_full_target_and_an_unknown_backup_are_named(stage: Stage, kept: Saved) -> None:
    vm, _ = kept
    small = stage.new_name()
    stage.dr.hook("domain", name=small, size=1 << 20)
    with pytest.raises(NoRoom, match="the disks may need"):
        stage.restore(vm, rule=RestoreRule(site="dr", cluster="Default", storage_domain=small))
    with pytest.raises(NoSuchBackup):
        stage.restore(vm, backup="19990101")


def test_bytes_that_are_not_the_backups_never_become_a_vm(stage: Stage, kept: Saved) -> None:
    vm, _ = kept
    run = stage.run("restore")
    plan = plan_restore(stage.target, stage.vault, vm.name, stage.rule(suffix="_bad"), run)
    disks = operations.create_disks(stage.target, plan)
    for disk in disks:
        operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")
    (path,) = [Path(one) for one in stage.dr.hook("paths", disk=disks[0]["id"])["paths"]]
    flip_in_data(path)
    proven = operations.verify_disk(stage.target, plan, disks[1])
    with pytest.raises(ProofMismatch, match="is NOT the backup"):
        operations.verify_disk(stage.target, plan, disks[0])
    with pytest.raises(ProofMismatch, match="is not proven"):
        operations.create_vm(stage.target, plan, [disks[0], proven])
    ended = operations.roll_back(stage.target, plan)
    assert ended == {"removed": [f"disk {disks[0]['name']}"], "proven_disks_kept": [disks[1]["name"]]}
    assert operations.roll_back(stage.target, plan)["removed"] == []
    there = stage.dr.state()["disks"]
    assert disks[0]["id"] not in there
    assert disks[1]["id"] in there


def flip_in_data(path: Path) -> None:
    """Flip a bit in the last cluster of a qcow2, which holds a guest's data."""
    raw = bytearray(path.read_bytes())
    for at in range(len(raw) - 1, 5 * 65536, -1):
        if raw[at] not in (0,):
            raw[at] ^= 0x10
            break
    path.write_bytes(raw)


def test_an_illegal_disk_is_no_success(stage: Stage, kept: Saved) -> None:
    vm, _ = kept
    stage.dr.fault("phase", {"entity": "transfer", "phase": "finished_success"}, value="finished_failure", times=-1)
    with pytest.raises(BadState):
        stage.restore(vm, rule=stage.rule(suffix="_ill"), keep_on_failure=False)
    stage.dr.hook("faults", clear=True)
    assert stage.target.find_vm(f"{vm.name}_ill") is None
