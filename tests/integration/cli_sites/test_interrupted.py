"""Killed, stopped, given twice: the same command goes on, or nothing is left; and a sweep leaves nothing."""

from __future__ import annotations

import signal
import subprocess

import pytest
from tests.integration.cli_sites.conftest import DEADLINE_S, World

pytestmark = pytest.mark.timeout(1500)
POST = {"method": "POST"}


def end(process: subprocess.Popen[bytes]) -> int:
    return process.wait(timeout=DEADLINE_S)


@pytest.mark.parametrize("path", ["/imagetransfers$", "backups/.*/finalize$"])
def test_a_killed_backup_goes_on_by_the_same_command(world: World, path: str) -> None:
    vm = world.add_vm(2)
    world.kill_at(world.prod, {**POST, "path": path}, "vm", "backup", vm.name)
    assert len(world.open_runs()) == 1
    assert f"goes on with: vmferry vm backup {vm.name}" in world.run("site", "leftovers").out
    answer = world.run("vm", "backup", vm.name, "--json")
    assert "going on with run cli:" in answer.err
    assert answer.json()["mode"] == "full"
    assert world.run("vault", "verify", "vault", vm.name, "--json").json()["sound"]
    assert world.open_runs() == []
    world.sweep_until_nothing_is_left("source")


@pytest.mark.parametrize("path", ["/disks$", "/imagetransfers$", "/vms$"])
def test_a_killed_restore_goes_on_by_the_same_command(world: World, path: str) -> None:
    vm = world.add_vm(2)
    world.run("vm", "backup", vm.name)
    held = world.digests(world.prod, list(vm.disks))
    world.kill_at(world.dr, {**POST, "path": path}, "vm", "restore", vm.name)
    answer = world.run("vm", "restore", vm.name, "--json")
    assert "going on" in answer.err
    assert world.digests(world.dr, world.disks_at(world.dr, answer.json()["vm_id"])) == held
    assert world.open_runs() == []
    world.sweep_until_nothing_is_left("target")
    assert world.digests(world.dr, world.disks_at(world.dr, answer.json()["vm_id"])) == held


def test_a_sweep_gives_back_what_a_kill_left(world: World) -> None:
    vm = world.add_vm()
    world.run("vm", "backup", vm.name)
    world.kill_at(world.prod, {**POST, "path": "/imagetransfers$"}, "vm", "backup", vm.name, "--full")
    world.kill_at(world.dr, {**POST, "path": "/imagetransfers$"}, "vm", "restore", vm.name)
    assert world.leftovers("source")
    assert world.leftovers("target")
    for site in ("source", "target"):
        world.sweep_until_nothing_is_left(site)
    assert world.open_runs() == []
    assert [one["mode"] for one in world.run("vault", "ls", "vault", vm.name, "--json").json()] == ["full"]
    assert not world.run("vault", "doctor", "vault", "--json").json()


def test_ctrl_c_gives_a_backup_back(world: World) -> None:
    vm = world.add_vm()
    process = world.start_until(
        world.prod, {**POST, "path": "/imagetransfers$"}, "vm", "backup", vm.name, "--rate", "64KiB", hold_s=2
    )
    process.send_signal(signal.SIGINT)
    assert end(process) == 130
    assert "stopping" in world.started_log()
    assert "stopped; nothing of it is left" in world.started_log()
    assert world.leftovers("source") == world.open_runs() == []
    assert world.run("vm", "backup", vm.name, "--json").json()["mode"] == "full"


def test_ctrl_c_in_a_restore_says_how_to_go_on(world: World) -> None:
    vm = world.add_vm()
    world.run("vm", "backup", vm.name)
    held = world.digests(world.prod, list(vm.disks))
    process = world.start_until(
        world.dr, {**POST, "path": "/imagetransfers$"}, "vm", "restore", vm.name, "--rate", "64KiB", hold_s=2
    )
    process.send_signal(signal.SIGTERM)
    assert end(process) == 130
    assert "the same command goes on where it stopped" in world.started_log()
    assert world.leftovers("target")
    world.sweep_until_nothing_is_left("target")
    assert world.open_runs() == []
    again = world.run("vm", "restore", vm.name, "--json").json()
    assert world.digests(world.dr, world.disks_at(world.dr, again["vm_id"])) == held


def test_the_second_of_two_is_told_who_is_at_it_and_may_wait(world: World) -> None:
    vm = world.add_vm()
    process = world.start_until(world.prod, {**POST, "path": "/imagetransfers$"}, "vm", "backup", vm.name, hold_s=20)
    refused = world.run("vm", "backup", vm.name, code=5)
    assert f"process {process.pid}" in refused.err
    assert "is busy" in world.run("vault", "add", "vault", vm.name, f"root=raw:{world.prod.ca}", code=5).err
    world.prod.hook("faults", clear=True)
    second = world.run("vm", "backup", vm.name, "--wait", "100", "--json")
    assert "waiting" in second.err
    assert end(process) == 0
    assert second.json()["mode"] == "incremental"
