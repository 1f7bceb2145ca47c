"""What an engine can do to us: each fault ends in success after a retry of ours, or in the right class of error.

Never in a silent success, and never with something left at the engine.
"""

from typing import Any

import pytest
from lab.ovirt import OvirtLab
from tests.integration.ovirt.stage import Stage, connect

from vmferry import operations
from vmferry.engine.errors import EngineError, Retry, TrustError
from vmferry.operations.planning import plan_restore
from vmferry.platforms.errors import LoginRefused, NotPermitted, SiteAway, WaitedTooLong
from vmferry.platforms.orders import DiskRef, DiskSpec
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.platforms.plain import from_plain
from vmferry.vault import list_backups, verify

POST, GET = {"method": "POST"}, {"method": "GET"}

OUTLASTED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "503-login-page": ("html503", {}, {"times": 2}),
    "503-at-backup": ("html503", {**POST, "path": "/backups$"}, {}),
    "503-at-transfer": ("html503", {**POST, "path": "/imagetransfers$"}, {}),
    "503-at-finalize": ("html503", {**POST, "path": "/finalize$"}, {"times": 2}),
    "500-at-poll": ("status", {**GET, "path": "/backups/"}, {"value": 500, "times": 2}),
    "401-mid-way": ("401", {**GET, "path": "/backups/"}, {}),
    "answer-lost-at-backup": ("lose_answer", {**POST, "path": "/backups$"}, {}),
    "answer-lost-at-transfer": ("lose_answer", {**POST, "path": "/imagetransfers$"}, {}),
    "answer-lost-at-finalize": ("lose_answer", {**POST, "path": "/finalize$"}, {}),
    "dropped-at-backup": ("drop", {**POST, "path": "/backups$"}, {}),
    "dropped-at-get": ("drop", {**GET, "path": "/disks/"}, {"times": 3}),
    "malformed": ("malformed", {**GET, "path": "/diskattachments$"}, {}),
    "409-at-finalize": ("409", {**POST, "path": "/finalize$"}, {"times": 2}),
    "slow-answer": ("delay", {**GET, "path": "/backups/"}, {"value": 0.5, "times": 2}),
    "imageio-restarts-before": ("restart_imageio", {"entity": "transfer", "phase": "transferring"}, {}),
}


@pytest.mark.parametrize("name", OUTLASTED)
def test_a_backup_outlasts_it(stage: Stage, name: str) -> None:
    action, match, more = OUTLASTED[name]
    vm = stage.add_vm()
    stage.back_up(vm)
    stage.write(vm.disks[0], seed=1)
    stage.prod.fault(action, match, **more)
    done = stage.back_up(vm)
    assert done["mode"] == "incremental"
    assert verify(stage.vault, vm.name).sound
    assert not stage.leftovers(stage.prod, vm)
    assert all(rule["used"] for rule in stage.prod.hook("faults"))


FATAL: dict[str, tuple[str, dict[str, Any], dict[str, Any], Retry]] = {
    "403-at-backup": ("status", {**POST, "path": "/backups$"}, {"value": 403}, Retry.NEVER),
    "400-at-backup": ("status", {**POST, "path": "/backups$"}, {"value": 400}, Retry.NEVER),
    "409-at-backup": ("409", {**POST, "path": "/backups$"}, {}, Retry.BACKOFF),
    "backup-fails": ("failed", {"entity": "backup"}, {}, Retry.BACKOFF),
    "404-of-the-vm": ("status", {**GET, "path": "^.*/vms$"}, {"value": 404, "times": -1}, Retry.NEVER),
    "403-at-transfer": ("status", {**POST, "path": "/imagetransfers$"}, {"value": 403, "times": -1}, Retry.NEVER),
}


@pytest.mark.parametrize("name", FATAL)
def test_a_first_backup_fails_clearly_and_the_next_try_of_the_run_succeeds(stage: Stage, name: str) -> None:
    action, match, more, retry = FATAL[name]
    vm, run = stage.add_vm(), stage.run()
    stage.prod.fault(action, match, **more)
    with pytest.raises(EngineError) as caught:
        stage.back_up(vm, run)
    assert caught.value.retry is retry
    assert vm.name in str(caught.value)
    assert caught.value.fix
    stage.prod.hook("faults", clear=True)
    assert not stage.leftovers(stage.prod, vm)
    assert not list_backups(stage.vault, vm.name) if stage.vault.vm_dir(vm.name).is_dir() else True
    assert stage.back_up(vm, run)["mode"] == "full"
    assert not stage.leftovers(stage.prod, vm)


RESTORES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "503-at-disk": ("html503", {**POST, "path": "/disks$"}, {}),
    "answer-lost-at-disk": ("lose_answer", {**POST, "path": "/disks$"}, {}),
    "answer-lost-at-transfer": ("lose_answer", {**POST, "path": "/imagetransfers$"}, {}),
    "answer-lost-at-vm": ("lose_answer", {**POST, "path": "/vms$"}, {}),
    "answer-lost-at-finalize": ("lose_answer", {**POST, "path": "/finalize$"}, {}),
    "paused": ("paused", {"entity": "transfer", "direction": "upload"}, {}),
    "imageio-restarts": ("restart_imageio", {"entity": "transfer", "phase": "transferring"}, {}),
    "409-at-attach": ("409", {"method": "PUT", "path": "/nics/"}, {"times": 2}),
    "finalize-fails-once": (
        "phase",
        {"entity": "transfer", "phase": "finished_success", "direction": "upload"},
        {"value": "finished_failure"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESTORES)
def test_a_restore_outlasts_it(stage: Stage, name: str) -> None:
    action, match, more = RESTORES[name]
    vm = stage.add_vm()
    stage.back_up(vm)
    held = stage.copy_at(stage.prod, vm.disks[0])
    stage.dr.fault(action, match, **more)
    done = stage.restore(vm)
    (disk,) = stage.restored_disks(stage.dr, done["vm_id"])
    assert stage.copy_at(stage.dr, disk) == held
    assert not {disk} & set(stage.dr.state()["locked_disks"])
    assert not [one for one in stage.target.leases() if one.owner.startswith(f"restore_{stage.tmp.name}")]
    assert all(rule["used"] for rule in stage.dr.hook("faults"))


def test_a_disk_of_another_size_is_not_believed(stage: Stage) -> None:
    vm = stage.add_vm()
    stage.back_up(vm)
    stage.dr.fault("wrong_size", {"entity": "disk"}, value=-65536, times=-1)
    with pytest.raises(EngineError, match="asked for disk"):
        stage.restore(vm, keep_on_failure=False)
    stage.dr.hook("faults", clear=True)
    assert not list(stage.target.leases()) or all(
        not one.owner.startswith(f"restore_{stage.tmp.name}") for one in stage.target.leases()
    )


def test_a_phase_that_never_ends_is_waited_for_only_so_long(stage: Stage) -> None:
    run = stage.run("restore")
    stage.dr.fault("stuck", {"entity": "disk"})
    spec = DiskSpec("root", "root", 1 << 20, "dr-data", run.derive_id("disk"), vm="web")
    with connect(stage.dr, wait_s=2) as hasty, pytest.raises(WaitedTooLong, match="still 'locked' after 2 s"):
        hasty.create_disk(spec, run)


def settings(lab: OvirtLab, **more: Any) -> OvirtSettings:
    return OvirtSettings(**{"site": "prod", "url": lab.url, "user": lab.user, "password": "planted", **more})


@pytest.mark.parametrize("who", ["wrong-password", "another-authority", "nobody-there"])
def test_a_login_that_cannot_be_right(stage: Stage, who: str) -> None:
    kinds: dict[str, tuple[dict[str, Any], type[EngineError]]] = {
        "wrong-password": ({"ca_fingerprint": stage.prod.fingerprint}, LoginRefused),
        "another-authority": ({"ca_fingerprint": stage.dr.fingerprint}, TrustError),
        "nobody-there": ({"url": "https://localhost:1", "ca_file": str(stage.prod.ca)}, SiteAway),
    }
    more, kind = kinds[who]
    with OvirtSite(settings(stage.prod, **more)) as site, pytest.raises(kind) as caught:
        site.check()
    assert "planted" not in str(caught.value)


def test_a_user_who_may_not_is_told_what_he_lacks(stage: Stage) -> None:
    vm = stage.add_vm()
    stage.prod.hook("user", name="reader@internal", password="planted", permits=["read"])
    reader = settings(stage.prod, user="reader@internal", ca_file=str(stage.prod.ca), reserve_bytes=0)
    with OvirtSite(reader) as site, pytest.raises(NotPermitted, match="starting a backup"):
        operations.back_up_vm(site, stage.vault, stage.policy(vm), stage.run())
    assert not stage.leftovers(stage.prod, vm)


def test_a_session_that_ran_out_is_begun_anew(stage: Stage) -> None:
    assert stage.source.check().version
    stage.prod.hook("expire_tokens")
    assert list(stage.source.list_vms()) is not None
    stage.source.close()
    stage.source.close()
    assert stage.source.check().name == "prod"


def test_a_daemon_that_forgot_its_tickets_costs_a_new_way_not_the_point(stage: Stage) -> None:
    vm, run = stage.add_vm(2), stage.run()
    stage.back_up(vm)
    stage.write(vm.disks[1], seed=6)
    opened = operations.open_point(stage.source, stage.vault, stage.policy(vm, consistency="crash"), run)
    stage.prod.kill_imageio()
    stage.prod.start_imageio()
    reports = [operations.back_up_disk(stage.source, opened, disk.name) for disk in opened.disks]
    operations.close_point(stage.source, vm.id, run)
    operations.publish(opened)
    assert [one["method"] for one in reports] == ["dirty", "dirty"]
    assert verify(stage.vault, vm.name).sound
    assert not stage.leftovers(stage.prod, vm)


def test_an_upload_goes_on_in_a_new_transfer_when_the_daemon_forgot_the_old_one(stage: Stage) -> None:
    vm, run = stage.add_vm(), stage.run("restore")
    stage.back_up(vm)
    plan = plan_restore(stage.target, stage.vault, vm.name, stage.rule(), run)
    (disk,) = operations.create_disks(stage.target, plan)
    stage.target.writable(from_plain(DiskRef, disk))
    stage.dr.kill_imageio()
    stage.dr.start_imageio()
    operations.upload_disk(stage.target, plan, disk, job_dir=stage.tmp / "job")
    assert operations.verify_disk(stage.target, plan, disk)["verified"]
    made = operations.create_vm(stage.target, plan, [operations.verify_disk(stage.target, plan, disk)])
    operations.finish_restore(stage.target, plan, made)
    assert [one for one in stage.target.leases() if one.owner == run.text] == []
