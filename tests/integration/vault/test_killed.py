"""kill -9 at any change of a backup, and in the middle of a restore: run it again, and all is well."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.integration.vault.conftest import Machine, MakeMachine

from vmferry.engine.endpoint import EndpointSpec
from vmferry.vault import add_point, examine, list_backups, open_vault, restore, verify

MiB = 1 << 20

_DYING = """
import os, signal, sys
left = int(sys.argv[1])
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "subprocess.Popen", "fcntl.flock"}
def die(event, arguments):
    global left
    if event in EVENTS:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from datetime import datetime
from vmferry.engine.endpoint import EndpointSpec
from vmferry.vault import Order, add_point, open_vault
source, moment = EndpointSpec("file", sys.argv[3]), datetime.fromisoformat(sys.argv[4])
order = Order("web/1", {"root": source}, incremental=True, now=moment)
sys.addaudithook(die)
add_point(open_vault(sys.argv[2]), order)
"""

_RESTORE = """
import sys
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.throttle import Throttle
from vmferry.vault import Pace, open_vault, restore
vault, target, rate = sys.argv[1:]
pace = Pace(throttle=Throttle(int(rate)))
restore(open_vault(vault), "web", {"root": EndpointSpec("file", target)}, pace=lambda name: pace)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment)


def servers_of(place: Path) -> list[str]:
    """Command lines of servers that have an image below `place` open."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if command.startswith("qemu-nbd") and str(place) in command:
            found.append(command)
    return found


def wait_until_gone(place: Path) -> None:
    deadline = time.monotonic() + 20
    pause = multiprocessing.Event()
    while servers_of(place):
        assert time.monotonic() < deadline, servers_of(place)
        pause.wait(0.02)


def test_killed_at_any_step_of_a_backup(machine: Machine) -> None:
    machine.grow_chain(2)
    original = machine.root / "original"
    machine.vault.path.rename(original)
    machine.scribble(3)
    order = machine.order()
    assert order.now is not None
    stride = int(os.environ.get("VMFERRY_KILL_STRIDE", "6"))
    step, killed = 1, True
    while killed:
        vault = open_vault(machine.root / "copy")
        machine.vault = vault
        shutil.copytree(original, vault.path)
        process = start(_DYING, str(step), str(vault.path), str(machine.disk), order.now.isoformat())
        assert process.wait(60) in (0, -9)
        killed = process.returncode == -9
        wait_until_gone(vault.path)
        assert verify(vault).sound, step
        assert all(one.harmless for one in examine(vault)), step
        if len(list_backups(vault)) == 2:
            add_point(vault, order)
        assert verify(vault).sound, step
        assert machine.restored() == machine.disk.read_bytes()
        assert list_backups(vault)[-1].chain_length == 3
        shutil.rmtree(vault.path)
        step += stride
    assert step > 20


def test_a_killed_restore_goes_on_where_it_stopped(make_machine: MakeMachine) -> None:
    machine = make_machine(100 * MiB + 5, vm="web")
    with machine.disk.open("r+b") as file:
        for _ in range(100):
            file.write(machine.rng.randbytes(MiB))
    machine.add()
    target = machine.root / "restored.raw"
    journal = machine.root / ".restored.raw.vmferry-restore" / "journal"
    process = start(_RESTORE, str(machine.vault.path), str(target), str(70 * MiB))
    try:
        deadline = time.monotonic() + 60
        pause = multiprocessing.Event()
        while not journal.exists() or journal.stat().st_size < 16 * 64 * 32:
            assert time.monotonic() < deadline
            assert process.poll() is None
            pause.wait(0.02)
    finally:
        process.kill()
        process.wait()
    wait_until_gone(machine.vault.path)
    (done,) = restore(machine.vault, "web", {"root": EndpointSpec("file", str(target))})
    assert done.result.resumed_bytes >= 64 * MiB
    assert target.read_bytes() == machine.disk.read_bytes()
    assert not journal.parent.exists()


@pytest.mark.parametrize("emptied", ["removed", "truncated"])
def test_a_target_that_was_emptied_is_written_anew(machine: Machine, emptied: str) -> None:
    machine.grow_chain(2)
    target = machine.root / "restored.raw"
    journal = machine.root / ".restored.raw.vmferry-restore"
    spec = EndpointSpec("file", str(target))
    restore(machine.vault, machine.vm, {"root": spec}, job_dir=machine.root / "job")
    (kept,) = restore(machine.vault, machine.vm, {"root": spec}, job_dir=machine.root / "job")
    assert target.read_bytes() == machine.disk.read_bytes()
    assert kept.result.resumed_bytes == 0
    target.unlink()
    if emptied == "truncated":
        target.touch()
    restore(machine.vault, machine.vm, {"root": spec})
    assert target.read_bytes() == machine.disk.read_bytes()
    assert not journal.exists()
