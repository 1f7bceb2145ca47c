"""Volumes of runs: made once, kept when proven, refused by quotas; snapshots and images that others are made of."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.openstack.project import Project

from vmferry.platforms.errors import BadState, NoRoom, NotSupported
from vmferry.platforms.openstack import OpenstackSite
from vmferry.platforms.openstack.naming import ROOT
from vmferry.platforms.openstack.volumes import VolumeSpec, size_for
from vmferry.platforms.orders import Removal
from vmferry.platforms.runs import RunId

DATA = VolumeSpec("data-1", 1, name="web01-data", metadata={"team": "web", "vmferry": "a liar"})


def mine(site: OpenstackSite, owner: RunId) -> list[str]:
    return [lease.id for lease in site.leases() if lease.owner == owner.text]


def test_made_once(site: OpenstackSite, owner: RunId) -> None:
    first = site.ensure_volume(DATA, owner)
    assert site.ensure_volume(DATA, owner).id == first.id
    assert (first.name, first.state, first.size_gib, first.bootable) == ("web01-data", "available", 1, False)
    assert first.metadata == {"team": "web", "vmferry": owner.tag(), "vmferry_part": "data-1"}
    assert site.find_volume(DATA, RunId.of("another", "run")) is None
    assert mine(site, owner) == [first.id]
    assert site.remove_volume(first, owner) is Removal.REMOVED
    assert site.remove_volume(first, owner) is Removal.NOTHING


def test_another_run_does_not_remove_it(site: OpenstackSite, owner: RunId) -> None:
    made = site.ensure_volume(DATA, owner)
    assert site.remove_volume(made, RunId.of("another", "run")) is Removal.NOTHING
    assert site.remove_volume(made, owner) is Removal.REMOVED


def test_bootable_and_how_its_guest_is_run(site: OpenstackSite, source: Project, owner: RunId) -> None:
    spec = VolumeSpec("boot", 1, bootable=True, image_properties={"hw_disk_bus": "virtio", "checksum": "of another"})
    made = site.ensure_volume(spec, owner)
    assert made.bootable
    seen = source.cloud.block_storage.get_volume(made.id)
    assert seen.volume_image_metadata == {"hw_disk_bus": "virtio"}
    site.remove_volume(made, owner)


def test_proven_bytes_stay(site: OpenstackSite, source: Project, owner: RunId) -> None:
    made = site.mark_verified(site.ensure_volume(DATA, owner), owner, "ab" * 32)
    assert (made.verified, made.root, made.metadata[ROOT]) == (True, "ab" * 32, "ab" * 32)
    assert made.metadata["team"] == "web"
    assert site.remove_volume(made, owner) is Removal.KEPT
    [lease] = [lease for lease in site.leases() if lease.id == made.id]
    assert lease.holds_verified_bytes
    with pytest.raises(NotSupported, match="person"):
        site.release(lease)
    source.cloud.block_storage.delete_volume(made.id)
    source.cloud.block_storage.wait_for_delete(made_of(source, made.id), interval=1, wait=200)


def made_of(project: Project, volume: str) -> Any:
    return project.cloud.block_storage.get_volume(volume)


def test_broken_one_is_made_anew(site: OpenstackSite, admin: Any, owner: RunId) -> None:
    first = site.ensure_volume(DATA, owner)
    admin.block_storage.reset_volume_status(first.id, status="error")
    second = site.ensure_volume(DATA, owner)
    assert second.id != first.id
    assert mine(site, owner) == [second.id]
    site.remove_volume(second, owner)


def test_broken_one_with_proven_bytes_is_not_thrown_away(site: OpenstackSite, admin: Any, owner: RunId) -> None:
    made = site.mark_verified(site.ensure_volume(DATA, owner), owner, "cd" * 32)
    admin.block_storage.reset_volume_status(made.id, status="error")
    with pytest.raises(BadState, match="error"):
        site.ensure_volume(DATA, owner)
    assert mine(site, owner) == [made.id]
    admin.block_storage.reset_volume_status(made.id, status="available")
    admin.block_storage.delete_volume(made.id)
    admin.block_storage.wait_for_delete(admin.block_storage.get_volume(made.id), interval=1, wait=200)


def test_quota(site: OpenstackSite, source: Project, admin: Any, owner: RunId) -> None:
    project = source.cloud.current_project_id
    admin.block_storage.update_quota_set(project, volumes=0)
    try:
        with pytest.raises(NoRoom, match="quota"):
            site.ensure_volume(DATA, owner)
    finally:
        admin.block_storage.update_quota_set(project, volumes=10)
    assert mine(site, owner) == []


def test_snapshot_of_a_volume_in_use(site: OpenstackSite, source: Project, owner: RunId) -> None:
    server, volume = source.server("in-use"), source.volume("in-use-data")
    source.attach(server, volume)
    first = site.ensure_snapshot(volume, owner, "data-snapshot")
    assert site.ensure_snapshot(volume, owner, "data-snapshot") == first
    copy = site.ensure_volume(VolumeSpec("copy", first.size_gib, snapshot=first.id), owner)
    assert sorted(mine(site, owner)) == sorted([first.id, copy.id])
    assert site.remove_volume(copy, owner) is Removal.REMOVED
    assert site.delete_snapshot(first)
    assert not site.delete_snapshot(first)
    assert source.attached(server) == [volume]


@pytest.mark.parametrize(("size_bytes", "gib"), [(1, 1), (1 << 30, 1), ((1 << 30) + 1, 2)], ids=str)
def test_size(size_bytes: int, gib: int) -> None:
    assert size_for(size_bytes) == gib
