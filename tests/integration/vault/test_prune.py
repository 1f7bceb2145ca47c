"""Prune lets go of what nobody keeps, and whatever happens, what stays is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.integration.vault.conftest import START, Machine
from tests.integration.vault.flips import flip

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import BadInput, ProofMismatch
from vmferry.vault import (
    Action,
    DiskInfo,
    Folding,
    Method,
    Mode,
    Order,
    Rules,
    VaultBusy,
    abandon,
    add_point,
    begin_point,
    examine,
    hold_backup,
    list_backups,
    open_vault,
    plan_prune,
    prune,
    release_backup,
    verify,
)
from vmferry.vault.lock import reading

LATER = START + timedelta(days=30)
ALWAYS = Folding.ALWAYS


def check(machine: Machine, kept: list[int]) -> None:
    """See that exactly these backups are there, sound, and give back what they had."""
    assert [one.id for one in list_backups(machine.vault)] == [machine.backups[number].id for number in kept]
    report = verify(machine.vault)
    assert [finding.line() for finding in report.findings] == []
    assert report.sound
    for number in kept:
        backup = machine.backups[number].id
        assert machine.restored(backup) == machine.contents[backup]


def test_folds_into_a_full_one(machine: Machine) -> None:
    machine.grow_chain(6)
    before = {path: path.read_bytes() for path in machine.paths()}
    rules = Rules(keep_daily=2, folding=ALWAYS)
    plan = plan_prune(machine.vault, machine.vm, rules, now=LATER)
    assert {path: path.read_bytes() for path in machine.paths()} == before
    assert plan.plan.ids(Action.FOLD) == tuple(one.id for one in machine.backups[:4])
    assert 0 < plan.writes_bytes <= sum(one.size_bytes for one in machine.backups)
    done = prune(machine.vault, machine.vm, rules, now=LATER)
    assert done.folded_into == (machine.backups[4].id,)
    check(machine, [4, 5])
    folded = list_backups(machine.vault)[0].disks[0]
    assert (folded.mode, folded.method, folded.chain_length) == (Mode.FULL.value, Method.FOLDED.value, 1)
    assert examine(machine.vault, now=LATER) == ()
    assert [one.trouble.value for one in examine(machine.vault, now=LATER + timedelta(hours=73))] == ["expired"] * 4
    machine.scribble(3)
    machine.add()
    check(machine, [4, 5, 6])


def test_folds_onto_an_ancestor_and_not_a_byte_more(machine: Machine) -> None:
    machine.grow_chain(1)
    for size in (1000, 80_000, 5 * 65_536 + 3):
        machine.resize(machine.disk.stat().st_size + size)
        machine.scribble(2, 3000)
        machine.add()
    hold_backup(machine.vault, machine.vm, machine.backups[0].id, "asked for by audit")
    prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    check(machine, [0, 3])
    (disk,) = list_backups(machine.vault)[1].disks
    assert (disk.mode, disk.chain_length) == (Mode.INCREMENTAL.value, 2)
    release_backup(machine.vault, machine.vm, machine.backups[0].id)
    prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    check(machine, [3])


def test_never_folding_keeps_the_ancestors(machine: Machine) -> None:
    machine.grow_chain(3)
    machine.scribble(3)
    machine.add(incremental=False)
    machine.grow_chain(2)
    done = prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=Folding.NEVER), now=LATER, at_once=True)
    assert done.removed == tuple(one.id for one in reversed(machine.backups[:3]))
    check(machine, [3, 4, 5])
    assert not machine.vault.quarantine.exists()


def test_the_quarantine_gives_back_and_is_emptied(machine: Machine) -> None:
    for _ in range(3):
        machine.scribble(2)
        machine.add(incremental=False)
    rules = Rules(keep_daily=1)
    prune(machine.vault, machine.vm, rules, now=LATER)
    (back,) = machine.vault.quarantine.glob(f"*/*/{machine.backups[1].id}")
    back.rename(machine.vault.vm_dir(machine.vm) / back.name)
    check(machine, [1, 2])
    prune(machine.vault, machine.vm, rules, now=LATER + timedelta(hours=1))
    assert len(list(machine.vault.quarantine.glob("*/*/*"))) == 2
    done = prune(machine.vault, machine.vm, rules, now=LATER + timedelta(hours=72, minutes=30))
    assert done.purged == (machine.backups[0].id,)
    prune(machine.vault, machine.vm, rules, now=LATER + timedelta(hours=99))
    assert not machine.vault.quarantine.exists()


def test_what_an_unfinished_backup_stands_on_stays(machine: Machine) -> None:
    machine.grow_chain(2)
    point = begin_point(machine.vault, machine.vm, [DiskInfo("root")], owner="run-1", incremental=True)
    machine.backups.append(machine.backups[-1])
    plan = plan_prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    assert plan.plan.rewrites == ()
    abandon(point)
    assert plan_prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER).plan.rewrites


def test_nobody_loses_what_he_reads(machine: Machine) -> None:
    machine.grow_chain(3)
    with (
        reading(machine.vault.vm_dir(machine.vm), "restoring web/1"),
        pytest.raises(VaultBusy, match="restoring web/1"),
    ):
        prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    check(machine, [2])


def test_bad_rules_change_nothing(machine: Machine) -> None:
    machine.grow_chain(2)
    before = sorted(machine.vault.path.rglob("*"))
    for rules in (Rules(), Rules(keep_daily=-1), Rules(keep_daily=1, max_age_days=-5)):
        with pytest.raises(BadInput):
            prune(machine.vault, machine.vm, rules)
    with pytest.raises(BadInput):
        prune(machine.vault, machine.vm, Rules(keep_daily=1), quarantine=timedelta(hours=-1))
    assert sorted(machine.vault.path.rglob("*")) == before


_PRUNE = """
import os, signal, sys
from datetime import datetime
from vmferry.vault import Folding, Rules, open_vault, prune
left = int(sys.argv[3])
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate", "subprocess.Popen"}
def die(event, arguments):
    global left
    if event in EVENTS:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
moment = datetime.fromisoformat(sys.argv[2])
prune(open_vault(sys.argv[1]), "web/1", Rules(keep_daily=2, folding=Folding.ALWAYS), now=moment)
"""


def prune_until(vault: Path, moment: datetime, step: int) -> bool:
    """Run prune in a process that kills itself at its step-th change; tell whether it got that far."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _PRUNE, str(vault), moment.isoformat(), str(step)]
    code = subprocess.run(command, env=environment, check=False).returncode
    assert code in (0, -9)
    return code == -9


def test_killed_at_any_step_the_vault_stays_whole(machine: Machine) -> None:
    machine.grow_chain(2)
    data = machine.root / "data.raw"
    data.write_bytes(machine.rng.randbytes(1 << 20))
    for number in (2, 3):
        machine.scribble(3)
        sources = {"root": machine.spec, "data": EndpointSpec("file", str(data))}
        order = Order(machine.vm, sources, incremental=True, now=START + timedelta(days=number))
        backup = add_point(machine.vault, order)
        machine.backups.append(backup)
        machine.contents[backup.id] = machine.disk.read_bytes()
    original = machine.root / "original"
    machine.vault.path.rename(original)
    stride = int(os.environ.get("VMFERRY_KILL_STRIDE", "8"))
    step = 1
    while True:
        vault = open_vault(machine.root / "copy")
        machine.vault = vault
        shutil.copytree(original, vault.path)
        killed = prune_until(vault.path, LATER, step)
        report = verify(vault)
        assert [finding.line() for finding in report.findings] == [], step
        assert report.sound
        for number in (2, 3):
            backup_id = machine.backups[number].id
            assert machine.restored(backup_id) == machine.contents[backup_id], step
        assert all(one.harmless for one in examine(vault, now=LATER)), step
        prune(vault, machine.vm, Rules(keep_daily=2, folding=ALWAYS), now=LATER)
        check(machine, [2, 3])
        assert examine(vault, now=LATER) == (), step
        shutil.rmtree(vault.path)
        if not killed:
            break
        step += stride
    assert step > 20


def test_a_fold_that_gives_another_root_changes_nothing(machine: Machine) -> None:
    machine.grow_chain(1)
    with machine.disk.open("r+b") as file:
        file.write(machine.rng.randbytes(1 << 20))
    machine.add()
    machine.grow_chain(1)
    image = machine.vault.vm_dir(machine.vm) / machine.backups[1].id / "root.qcow2"
    content = image.read_bytes()
    # A cluster of random bytes lies in the qcow2 as it is, and the disk's own write is not over it.
    wanted = next(
        at for at in range(0, 1 << 20, 65_536) if machine.contents[machine.backups[2].id][at : at + 65_536] in content
    )
    flip(image, content.index(machine.contents[machine.backups[2].id][wanted : wanted + 65_536]) * 8)
    before = sorted(machine.paths())
    with pytest.raises(ProofMismatch, match="another root; nothing was changed"):
        prune(machine.vault, machine.vm, Rules(keep_daily=1, folding=ALWAYS), now=LATER)
    assert sorted(machine.paths()) == before
