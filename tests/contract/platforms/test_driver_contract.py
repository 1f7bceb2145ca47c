"""What every driver promises in platforms/contract.py: above all that each step may be taken again."""

import hashlib
import random
import tempfile
from collections.abc import Iterator

import pytest
from tests.contract.platforms.drivers import DRIVERS, Driver

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.endpoints.sized import Sized
from vmferry.engine.errors import BadInput
from vmferry.engine.pump import measure
from vmferry.engine.units import MiB
from vmferry.platforms.contract import Leases, Source, Target
from vmferry.platforms.errors import NotThere, VmBusy
from vmferry.platforms.orders import DiskRef, DiskSpec, Ground, Removal
from vmferry.platforms.points import Access, Checkpoint, Frozen, PointOrder
from vmferry.platforms.runs import RunId


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with DRIVERS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def run(request: pytest.FixtureRequest) -> RunId:
    return RunId.of("contract", request.node.name)


def root_of(access: Access, size_bytes: int) -> str:
    endpoint = open_source(access.spec, access.secrets)
    try:
        return measure(Sized(endpoint, size_bytes)).root
    finally:
        endpoint.close()


def write(access: Access, offset: int, data: bytes) -> None:
    endpoint = open_target(access.spec, 0, access.secrets)
    try:
        connection = endpoint.connect()
        connection.write(offset, memoryview(data))
        connection.flush()
        connection.close()
    finally:
        endpoint.close()


def test_it_keeps_all_three_protocols(driver: Driver) -> None:
    assert isinstance(driver.site, Source)
    assert isinstance(driver.site, Target)
    assert isinstance(driver.site, Leases)
    assert driver.site.check().name == driver.site.site


def test_the_list_has_what_describe_describes(driver: Driver) -> None:
    (listed,) = [vm for vm in driver.site.list_vms() if vm.name == driver.vm]
    vm = driver.site.describe(driver.vm)
    assert (vm.id, vm.name) == (listed.id, listed.name)
    assert driver.site.describe(listed.id) == vm
    assert len(vm.disks) == 2
    assert [disk.bootable for disk in vm.disks] == [True, False]
    with pytest.raises(NotThere):
        driver.site.describe("nobody")


def test_a_point_is_opened_once_read_as_it_was_and_closed_as_often_as_one_likes(driver: Driver, run: RunId) -> None:
    site = driver.site
    vm = site.describe(driver.vm)
    disk = vm.disks[0]
    dice = random.Random(3)
    driver.write(disk.id, 3 * MiB, dice.randbytes(70_000 // 512 * 512))
    held = driver.held(disk.id)
    order = PointOrder(tuple(one.id for one in vm.disks))
    point = site.open_point(vm, run, order)
    assert site.open_point(vm, run, order) == point
    assert point.frozen in Frozen
    driver.write(disk.id, 0, dice.randbytes(4096))
    access = site.readable(point, disk.id)
    again = site.readable(point, disk.id)
    assert access.spec == again.spec
    # Nothing that opens it may be in what is written down.
    assert not any(secret in str(access.spec.to_json()) for secret in access.secrets.values())
    from_memory = root_of_bytes(held)
    assert root_of(access, disk.size_bytes) == from_memory
    site.check_free(vm, run)
    with pytest.raises(VmBusy):
        site.check_free(site.describe(driver.vm), RunId("somebody-else"))
    assert [lease.owner for lease in site.leases() if lease.parent == vm.id] == [run.text]
    assert site.open_owners(vm.id) == (run.text,)
    site.end_reading(point, disk.id)
    site.end_reading(point, disk.id)
    assert site.close_point(vm.id, RunId("somebody-else")) == ()
    assert site.close_point(vm.id, run)
    assert site.close_point(vm.id, run) == ()
    assert list(site.leases()) == []


def root_of_bytes(data: bytes) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        endpoint = open_source(EndpointSpec("file", file.name))
        try:
            return measure(endpoint).root
        finally:
            endpoint.close()


def test_a_checkpoint_nobody_knows_opens_a_point_without_changes(driver: Driver, run: RunId) -> None:
    site = driver.site
    vm = site.describe(driver.vm)
    point = site.open_point(vm, run, PointOrder((vm.disks[0].id,), Checkpoint("c0ffee00-0000-4000-8000-000000000000")))
    assert [disk.changes for disk in point.disks] == [False]
    assert point.notes
    site.close_point(vm.id, run)


def test_a_disk_is_made_once_written_sealed_read_back_and_kept_when_it_is_proven(driver: Driver, run: RunId) -> None:
    site = driver.site
    size = 4 * MiB
    spec = DiskSpec("root", "contract_root", size, driver.storage, run.derive_id("disk"), vm="contract")
    site.check_ground(Ground(driver.cluster, driver.storage), size)
    disk: DiskRef = site.create_disk(spec, run)
    assert site.create_disk(spec, run) == disk
    assert site.is_disk_id_free(disk.id, run)
    assert not site.is_disk_id_free(disk.id, RunId("somebody-else"))
    data = random.Random(5).randbytes(65536)
    write(site.writable(disk), MiB, data)
    write(site.writable(disk), 2 * MiB, data)
    site.seal_disk(disk)
    site.seal_disk(disk)
    wanted = bytes(MiB) + data + bytes(MiB - 65536) + data + bytes(2 * MiB - 65536)
    access = site.rereadable(disk)
    assert root_of(access, size) == root_of_bytes(wanted)
    site.end_rereading(disk)
    site.end_rereading(disk)
    (lease,) = [one for one in site.leases() if one.kind == "disk"]
    assert not lease.holds_verified_bytes
    assert site.mark_verified(disk, hashlib.sha256(wanted).hexdigest()).verified
    (lease,) = [one for one in site.leases() if one.kind == "disk"]
    assert lease.holds_verified_bytes
    with pytest.raises(BadInput, match="holds verified bytes"):
        site.release(lease)
    assert site.remove_disk(disk.id, run) is Removal.KEPT
    with pytest.raises(BadInput, match="holds verified bytes"):
        site.writable(disk)


def test_an_unproven_disk_is_removed_by_its_owner_alone_and_only_once(driver: Driver, run: RunId) -> None:
    site = driver.site
    spec = DiskSpec("data", "contract_data", MiB, driver.storage, run.derive_id("disk"), vm="contract")
    disk = site.create_disk(spec, run)
    write(site.writable(disk), 0, b"x" * 65536)
    assert site.remove_disk(disk.id, RunId("somebody-else")) is Removal.NOTHING
    assert site.remove_disk(disk.id, run) is Removal.REMOVED
    assert site.remove_disk(disk.id, run) is Removal.NOTHING
    assert [one for one in site.leases() if one.owner == run.text] == []


@pytest.mark.parametrize("ground", [("nowhere", None), (None, "nowhere")], ids=["cluster", "storage"])
def test_a_ground_that_is_not_there_is_told(driver: Driver, ground: tuple[str | None, str | None]) -> None:
    with pytest.raises(NotThere, match="nowhere"):
        driver.site.check_ground(Ground(ground[0] or driver.cluster, ground[1] or driver.storage), MiB)
