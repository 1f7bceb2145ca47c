"""What an engine can do to us that takes more than a line of `fault_rows`."""

from typing import Any

import pytest
from lab.ovirt import OvirtLab
from tests.integration.ovirt.stage import Stage

from vmferry import operations
from vmferry.engine.errors import EngineError, TrustError
from vmferry.operations.planning import plan_restore
from vmferry.platforms.errors import LoginRefused, NotPermitted, NotThere, SiteAway
from vmferry.platforms.orders import DiskRef
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.platforms.plain import from_plain
from vmferry.vault import verify


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


def test_a_vm_that_the_user_does_not_see_is_not_there(stage: Stage) -> None:
    vm = stage.add_vm()
    stage.prod.hook("user", name="tenant@internal", password="planted", permits=["*"], vms=[])
    tenant = settings(stage.prod, user="tenant@internal", ca_file=str(stage.prod.ca), reserve_bytes=0)
    with OvirtSite(tenant) as site, pytest.raises(NotThere, match=f"has no VM '{vm.name}'") as caught:
        operations.back_up_vm(site, stage.vault, stage.policy(vm), stage.run())
    assert "may the user see it" in caught.value.fix
    assert list(site.list_vms()) == []


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
