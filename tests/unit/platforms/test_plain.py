"""Values as JSON and back."""

import json

from vmferry.engine.endpoint import EndpointSpec
from vmferry.platforms.inventory import Disk, Nic, Vm
from vmferry.platforms.orders import Ground, VmRef
from vmferry.platforms.plain import from_plain, to_plain
from vmferry.platforms.points import Access, Frozen, Point, PointDisk, PointKind


def test_values_survive_json() -> None:
    point = Point(
        "b1", PointKind.CBT, "v1", "web", "run", (PointDisk("d1", True), PointDisk("d2", False, "s2")),
        since="c1", frozen=Frozen.FILE_SYSTEM, notes=("slow",),
    )  # fmt: skip
    disk = Disk("d1", "root", 1 << 30, storage=("sd1",))
    vm = Vm("v1", "web", "up", False, (disk,), (Nic("n1", "nic1"),), hardware={"memory_bytes": 1})
    for value in (point, vm, VmRef("v1", "web", marks=("complete",)), Ground("c", "s")):
        assert from_plain(type(value), json.loads(json.dumps(to_plain(value)))) == value


def test_unknown_members_are_left_out_and_missing_ones_get_defaults() -> None:
    assert from_plain(VmRef, {"id": "1", "name": "web", "of a newer version": 1}) == VmRef("1", "web")


def test_a_way_to_bytes_never_shows_its_key() -> None:
    access = Access(EndpointSpec("imageio", "https://host:54322/images"), {"url": "https://host:54322/images/key"})
    assert "images/key" not in repr(access)
