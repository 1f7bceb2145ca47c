"""Backup, incremental, restore and drill of whole VMs by the command alone, bit for bit."""

from __future__ import annotations

import pytest
from tests.integration.cli_sites.conftest import World

pytestmark = pytest.mark.timeout(1500)


def test_a_vm_comes_back_at_the_other_site_bit_for_bit(world: World) -> None:
    vm = world.add_vm(2)
    full = world.run("vm", "backup", vm.name, "--json").json()
    first = world.digests(world.prod, list(vm.disks))
    world.write(vm.disks[0], seed=9)
    more = world.run("vm", "backup", vm.name, "--json").json()
    assert (full["mode"], more["mode"]) == ("full", "incremental")
    assert [one["method"] for one in more["disks"]] == ["dirty", "dirty"]
    held = world.digests(world.prod, list(vm.disks))
    made = world.run("vm", "restore", vm.name, "--json").json()
    assert world.digests(world.dr, world.disks_at(world.dr, made["vm_id"])) == held
    assert made["vm"] == f"{vm.name}_restored"
    old = world.run(
        "vm", "restore", vm.name, "--backup", full["backup"], "--name", f"{vm.name}-old", "--start", "--json"
    ).json()
    assert world.digests(world.dr, world.disks_at(world.dr, old["vm_id"])) == first
    assert old["status"] == "up"
    assert world.open_runs() == []
    assert world.leftovers("source") == world.leftovers("target") == []


def test_what_is_there_is_listed_and_shown(world: World) -> None:
    vm = world.add_vm()
    assert [vm.name, "up", "none"] in [line.split() for line in world.run("vm", "ls").out.splitlines()]
    made = world.run("vm", "backup", vm.name, "--json").json()
    listed = {one["name"]: one for one in world.run("vm", "ls", "--json").json()}
    assert listed[vm.name]["backup"] == made["backup"]
    shown = world.run("vm", "show", vm.name, "--json").json()
    assert (shown["status"], shown["backups"], len(shown["disks"])) == ("up", [made["backup"]], 1)
    assert made["backup"] in world.run("vm", "show", vm.name).out


def test_a_drill_proves_and_leaves_nothing(world: World) -> None:
    vm = world.add_vm()
    world.run("vm", "backup", vm.name)
    before = world.dr.state()
    drill = world.run("vm", "drill", vm.name, "--start", "--json").json()
    assert drill["rto_s"] > 0
    assert drill["rpo_s"] > 0
    assert len(drill["roots"]) == 1
    after = world.dr.state()
    assert (after["vms"].keys(), after["disks"].keys()) == (before["vms"].keys(), before["disks"].keys())
    assert world.open_runs() == []


def test_a_vm_is_replaced_only_by_a_proven_one(world: World) -> None:
    vm = world.add_vm()
    world.run("vm", "backup", vm.name)
    first = world.run("vm", "restore", vm.name, "--name", vm.name, "--json").json()
    refused = world.run("vm", "restore", vm.name, "--name", vm.name, code=2)
    assert "nothing was changed" in refused.err
    assert world.open_runs() == []
    again = world.run("vm", "restore", vm.name, "--name", vm.name, "--replace-existing", "--json").json()
    assert again["vm_id"] != first["vm_id"]
    assert again["replaced"]
    third = world.run("vm", "restore", vm.name, "--name", vm.name, "--replace-existing", "--json").json()
    # The same command after its end is a new restore: it never takes an old VM for its own work.
    assert third["vm_id"] not in (first["vm_id"], again["vm_id"])
