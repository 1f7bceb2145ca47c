"""Writers: one at a time, in steps, killed, and out of space."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.vault.conftest import Machine, MakeMachine

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import NoSpace
from vmferry.vault import (
    Consistency,
    DiskInfo,
    OpenPoint,
    Order,
    PointGone,
    PointUnfinished,
    VaultBusy,
    abandon,
    add_disk,
    add_point,
    begin_point,
    examine,
    list_backups,
    open_vault,
    publish,
    read_open_point,
    restore,
    verify,
)

MiB = 1 << 20
DISKS = [DiskInfo("root", bootable=True), DiskInfo("data", id="d-1")]

_ADD = """
import sys
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.throttle import Throttle
from vmferry.vault import Order, Pace, add_point, open_vault
vault, disk, rate = sys.argv[1:]
order = Order("web", {"root": EndpointSpec("file", disk)})
print(add_point(open_vault(vault), order, pace=lambda name: Pace(throttle=Throttle(int(rate)))).id)
"""


def start_add(vault: Path, disk: Path, rate: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", _ADD, str(vault), str(disk), str(rate)], env=environment)


def wait_for(process: subprocess.Popen[bytes], vault: Path, journal_bytes: int) -> None:
    """Wait until the journal has grown so far: it holds commits then."""
    deadline = time.monotonic() + 60
    pause = multiprocessing.Event()
    while time.monotonic() < deadline:
        assert process.poll() is None
        sizes = [path.stat().st_size for path in vault.glob("web/*/.work/root/journal")]
        if sizes and sizes[0] >= journal_bytes:
            return
        pause.wait(0.02)
    pytest.fail("the copy did not get so far")


def journal_of_groups(groups: int) -> int:
    return groups * 64 * 32


def test_a_killed_backup_goes_on_where_it_stopped(make_machine: MakeMachine) -> None:
    machine = make_machine(100 * MiB + 512, vm="web")
    with machine.disk.open("r+b") as file:
        for _ in range(100):
            file.write(machine.rng.randbytes(MiB))
    process = start_add(machine.vault.path, machine.disk, 70 * MiB)
    try:
        wait_for(process, machine.vault.path, journal_of_groups(16))
        with pytest.raises(VaultBusy, match=rf"process {process.pid}, since .*"):
            add_point(machine.vault, Order("web", {"root": machine.spec}))
    finally:
        process.kill()
        process.wait()
    assert list_backups(machine.vault) == ()
    assert {one.trouble.value for one in examine(machine.vault)} == {"unfinished", "stale-lock"}
    backup = add_point(machine.vault, Order("web", {"root": machine.spec}))
    (disk,) = backup.disks
    assert disk.resumed_bytes >= 64 * MiB
    assert disk.read_bytes + disk.resumed_bytes <= 100 * MiB + 512
    assert verify(machine.vault).sound
    machine.vm = "web"
    assert machine.restored() == machine.disk.read_bytes()
    assert not list(machine.vault.path.rglob(".work"))
    assert examine(machine.vault) == ()


def test_another_source_begins_anew(make_machine: MakeMachine) -> None:
    machine = make_machine(100 * MiB, vm="web")
    with machine.disk.open("r+b") as file:
        for _ in range(100):
            file.write(machine.rng.randbytes(MiB))
    process = start_add(machine.vault.path, machine.disk, 70 * MiB)
    wait_for(process, machine.vault.path, journal_of_groups(16))
    process.send_signal(signal.SIGKILL)
    process.wait()
    machine.scribble(3)
    backup = add_point(machine.vault, Order("web", {"root": machine.spec}))
    assert backup.disks[0].resumed_bytes == 0
    assert machine.restored() == machine.disk.read_bytes()
    assert len(list(machine.vault.quarantine.glob("web/*/*"))) == 1


def add_in_child(place: Path, disk: str, source: Path) -> None:
    add_disk(read_open_point(place), disk, EndpointSpec("file", str(source)))


def test_steps_run_in_any_process_and_again(machine: Machine) -> None:
    machine.scribble(4)

    def begin(owner: str) -> OpenPoint:
        return begin_point(machine.vault, machine.vm, DISKS, owner=owner, incremental=True, vm_id="v-1", site="lyon")

    point = begin("run-1")
    assert point.note == "there is nothing to stand on yet: this backup is full"
    assert begin("run-1") == point
    with pytest.raises(VaultBusy, match="run-1 is writing"):
        begin("run-2")
    with pytest.raises(VaultBusy, match="run-1 is writing"):
        machine.add()
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=add_in_child, args=(point.dir, disk.name, machine.disk)) for disk in DISKS]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
        child.close()
    again = add_disk(point, "root", machine.spec)
    assert again == point.done("root")
    backup = publish(point, consistency=Consistency.FILE_SYSTEM, hardware={"cpus": 2}, ovf="<Envelope/>")
    assert publish(point) == backup
    assert (point.dir / "vm.ovf").read_text() == "<Envelope/>"
    assert begin("run-1").dir == point.dir
    assert add_disk(begin("run-1"), "data", machine.spec) == backup.disks[1]
    assert verify(machine.vault).sound


def test_publishing_needs_every_disk_and_abandoning_none(machine: Machine) -> None:
    point = begin_point(machine.vault, machine.vm, DISKS, owner="run-1")
    add_disk(point, "root", machine.spec)
    with pytest.raises(PointUnfinished, match="no disk data yet"):
        publish(point)
    abandon(point)
    abandon(point)
    assert not point.dir.exists()
    with pytest.raises(PointGone):
        add_disk(point, "data", machine.spec)


def test_a_reader_does_not_mind_a_writer(machine: Machine) -> None:
    machine.grow_chain(1)
    point = begin_point(machine.vault, machine.vm, DISKS[:1], owner="run-1")
    assert verify(machine.vault).sound
    assert machine.restored() == machine.contents[machine.backups[0].id]
    abandon(point)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "vmferry-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
def test_a_full_vault_says_how_to_go_on(machine: Machine, small_disk: Path) -> None:
    machine.resize(48 * MiB)
    with machine.disk.open("r+b") as file:
        for _ in range(40):
            file.write(machine.rng.randbytes(MiB))
    vault = open_vault(small_disk / "vault")
    order = Order(machine.vm, {"root": machine.spec})
    with pytest.raises(NoSpace, match=r"web/1.*root.*full.*same command again"):
        add_point(vault, order)
    assert list_backups(vault) == ()
    subprocess.run(["mount", "-o", "remount,size=96m", str(small_disk)], check=True)
    add_point(vault, order)
    assert verify(vault).sound
    target = machine.root / "restored.raw"
    restore(vault, machine.vm, {"root": EndpointSpec("file", str(target))})
    assert target.read_bytes() == machine.disk.read_bytes()
