"""Servers: described whole, stopped and started, made as planned; their volumes are borrowed and always given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.openstack.project import Project

from vmferry.operations import sweep
from vmferry.platforms.errors import Conflict, NameTaken, NotThere, VmBusy
from vmferry.platforms.openstack import OpenstackSite
from vmferry.platforms.openstack.attachments import path_of
from vmferry.platforms.openstack.failures import NoHost
from vmferry.platforms.openstack.ports import PortSpec
from vmferry.platforms.openstack.servers import ServerSpec
from vmferry.platforms.openstack.volumes import VolumeSpec
from vmferry.platforms.runs import RunId

MAC = "fa:16:3e:aa:bb:cc"
ADDRESS = "10.99.1.77"


def mine(site: OpenstackSite, owner: RunId) -> set[str]:
    return {lease.kind for lease in site.leases() if lease.owner == owner.text}


def test_describe_one_that_boots_from_an_image(site: OpenstackSite, source: Project) -> None:
    server, data = source.server("described", metadata={"team": "web"}), source.volume("described-data")
    source.attach(server, data)
    facts = site.describe("described")
    assert facts == site.describe(server)
    assert (facts.id, facts.status, facts.image, facts.zone) == (server, "active", "tiny", "nova")
    assert (facts.flavor.name, facts.flavor.vcpus, facts.flavor.ram_mib, facts.flavor.disk_gib) == ("tiny", 1, 256, 1)
    assert not facts.boots_from_volume
    assert dict(facts.metadata) == {"team": "web"}
    [port] = facts.ports
    assert (port.network, port.kind, port.port_security, port.security_groups) == ("net", "normal", True, ("default",))
    [address] = port.addresses
    assert (address.subnet, address.address.startswith("10.99.0.")) == ("net-v4", True)
    [volume] = facts.volumes
    assert (volume.id, volume.name, volume.size_gib, volume.type) == (data, "described-data", 1, "lab")
    assert (volume.boots, volume.attached_to, volume.encrypted, volume.multiattach) == (False, (server,), False, False)
    assert facts.obstacles == ()


def test_describe_one_that_boots_from_a_volume(site: OpenstackSite, source: Project) -> None:
    root = source.volume("bfv-root", image_id=source.image.id)
    server, data = source.server_from_volume("bfv", root), source.volume("bfv-data")
    source.attach(server, data)
    facts = site.describe("bfv")
    assert facts.boots_from_volume
    assert [(one.id, one.boots, one.bootable) for one in facts.volumes] == [(root, True, True), (data, False, False)]
    assert facts.volumes[0].image_properties["hw_rng_model"] == "virtio"
    assert facts.obstacles == ()
    source.cloud.compute.lock_server(server)
    assert [one.reason.split(":")[0] for one in site.describe("bfv").obstacles] == ["it is locked"]
    source.cloud.compute.unlock_server(server)


def test_list(site: OpenstackSite, source: Project) -> None:
    tagged = source.server("listed", tags=["gold"])
    assert [(one.id, one.status, one.tags) for one in site.list_vms("^listed$")] == [(tagged, "active", ("gold",))]
    assert [one.id for one in site.list_vms("tag=gold")] == [tagged]
    assert tagged in [one.id for one in site.list_vms()]
    with pytest.raises(NotThere, match="no server 'lis'"):
        site.describe("lis")


def test_projects_do_not_see_each_other(destination: OpenstackSite, source: Project) -> None:
    server = source.server("hidden")
    with pytest.raises(NotThere):
        destination.describe(server)
    assert server not in [one.id for one in destination.list_vms()]


def test_stop_and_start(site: OpenstackSite, source: Project) -> None:
    server = source.server("stopped")
    source.until_console(server, "GUEST DISKS")
    assert site.stop_server(server, "stopped")
    assert not site.stop_server(server, "stopped")
    assert source.status(server) == "SHUTOFF"
    assert site.describe(server).is_down
    assert site.read_console(server) == ""
    assert site.start_server(server, "stopped").state == "active"
    assert site.start_server(server, "stopped").state == "active"


def test_image_of_a_stopped_server(site: OpenstackSite, source: Project, owner: RunId) -> None:
    server = source.server("imaged")
    source.until_console(server, "GUEST DISKS")
    site.stop_server(server, "imaged")
    image = site.ensure_server_image(server, owner, "boot-image")
    assert site.ensure_server_image(server, owner, "boot-image") == image
    copy = site.ensure_volume(VolumeSpec("boot", max(1, image.min_disk_gib), image=image.id), owner)
    assert copy.bootable
    assert mine(site, owner) == {"image", "volume"}
    assert site.start_server(server, "imaged").state == "active"
    site.remove_volume(copy, owner)
    assert site.delete_image(image)
    assert not site.delete_image(image)


def test_a_borrowed_volume_is_given_back(site: OpenstackSite, source: Project, owner: RunId) -> None:
    home, host = source.server("lender"), source.server("borrower")
    data = source.volume("lent", metadata={"team": "web"})
    source.attach(home, data)
    facts = site.describe(home)
    loan = site.borrow(facts, facts.volumes[0], owner)
    assert site.borrow(facts, facts.volumes[0], owner) == loan
    assert (source.attached(home), mine(site, owner)) == ([], {"loan"})
    with pytest.raises(VmBusy, match="borrowed by run"):
        site.borrow(facts, facts.volumes[0], RunId.of("another", "run"))
    attachment = site.attach(host, data)
    assert site.attach(host, data) == attachment
    assert attachment.path == path_of(data)
    assert f":{data[:20]}" in source.until_console(host, f":{data[:20]}")
    assert site.give_back(data)
    assert not site.give_back(data)
    assert (source.attached(home), source.attached(host)) == ([data], [])
    assert source.cloud.block_storage.get_volume(data).metadata == {"team": "web"}


def test_attached_elsewhere(site: OpenstackSite, source: Project, settings: Any) -> None:
    home, host, data = source.server("owner"), source.server("other"), source.volume("taken")
    source.attach(home, data)
    with pytest.raises(Conflict, match=home):
        site.attach(host, data)
    assert source.attached(home) == [data]
    assert not site.detach(host, data)


def plan(site: OpenstackSite, network: Any, image: str, owner: RunId, name: str) -> ServerSpec:
    root = site.ensure_volume(VolumeSpec("root", 1, image=image), owner)
    data = site.ensure_volume(VolumeSpec("data", 1), owner)
    card = PortSpec("port-1", network.id, ((network.subnet_ids[0], ADDRESS),), MAC, port_security=False)
    port = site.ensure_port(card, owner)
    assert site.ensure_port(card, owner) == port
    return ServerSpec(name, "", (root.id, data.id), ports=(port.id,), metadata={"team": "web"}, config_drive=True)


def test_made_as_planned(destination: OpenstackSite, place: Any, owner: RunId) -> None:
    with Project(place, "destination") as there:
        spec = plan(destination, there.network, there.image.id, owner, "planned")
        spec = replace(spec, flavor=there.flavor.id)
        made = destination.ensure_server(spec, owner)
        assert destination.ensure_server(spec, owner).id == made.id
        facts = destination.describe(made.id)
        assert [(one.id, one.boots) for one in facts.volumes] == list(zip(spec.volumes, (True, False), strict=True))
        [port] = facts.ports
        assert (port.mac, port.addresses[0].address, port.port_security) == (MAC, ADDRESS, False)
        assert facts.config_drive
        assert facts.metadata["team"] == "web"
        there.until_console(made.id, f"vdb=2097152:{spec.volumes[1][:20]}")
        with pytest.raises(NameTaken, match="planned"):
            destination.ensure_server(spec, RunId.of("another", "run"))
        assert mine(destination, owner) == {"server", "port", "volume"}
        assert destination.delete_server(made)
        assert not destination.delete_server(made)
        assert mine(destination, owner) == {"port", "volume"}
        sweep(destination, lambda name: name == owner.text)


def test_no_machine_has_room(site: OpenstackSite, source: Project, admin: Any, owner: RunId) -> None:
    flavor = admin.compute.create_flavor(name="vmferry-huge", ram=8 << 20, vcpus=1, disk=1)
    project = source.cloud.current_project_id
    admin.compute.update_quota_set(project, ram=-1)
    spec = ServerSpec("huge", flavor.id, image=source.image.id)
    try:
        with pytest.raises(NoHost, match="huge"):
            site.ensure_server(spec, owner)
        assert mine(site, owner) == {"server"}
        assert sweep(site, lambda name: name == owner.text)["failed"] == []
    finally:
        admin.compute.update_quota_set(project, ram=51200)
        admin.compute.delete_flavor(flavor.id)


def test_janitor_gives_back_what_a_dead_run_left(site: OpenstackSite, source: Project, owner: RunId) -> None:
    """The run was killed in the middle of an export: everything is somewhere else than it should be."""
    home, host = source.server("orphaned"), source.server("orphan-host")
    data = source.volume("orphaned-data")
    source.attach(home, data)
    facts = site.describe(home)
    site.borrow(facts, facts.volumes[0], owner)
    site.attach(host, data)
    snapshot = site.ensure_snapshot(data, owner, "snapshot")
    copy = site.ensure_volume(VolumeSpec("copy", 1, snapshot=snapshot.id), owner)
    site.attach(host, copy.id)
    site.ensure_port(PortSpec("port-1", source.network.id), owner)
    alive = site.ensure_volume(VolumeSpec("alive", 1), RunId.of("another", "run"))

    done = sweep(site, lambda name: name == owner.text)

    assert (len(done["released"]), done["failed"]) == (4, [])
    assert mine(site, owner) == set()
    assert (source.attached(home), source.attached(host)) == ([data], [])
    site.remove_volume(alive, RunId.of("another", "run"))


def test_a_moved_server_says_so(site: OpenstackSite, source: Project, owner: RunId) -> None:
    server = source.server("moved", metadata={"team": "web"})
    site.mark_moved(site.describe(server), owner, "destination/moved")
    assert dict(site.describe(server).metadata) == {"team": "web", "vmferry_moved": f"{owner.tag()} destination/moved"}
    assert source.status(server) == "ACTIVE"
