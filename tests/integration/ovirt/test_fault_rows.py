"""Runs every row of `fault_rows`: how it ends, what is said, what is left over, and whether the next run is right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from tests.integration.ovirt.fault_rows import BACKUPS, LOOKS, RESTORES, ROWS, Row
from tests.integration.ovirt.stage import Stage, connect, digest

from vmferry import operations
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import EngineError
from vmferry.engine.units import MiB
from vmferry.platforms.ovirt import OvirtSite
from vmferry.platforms.runs import RunId
from vmferry.vault import list_backups, restore, verify

SIZE = 8 * MiB


def ids(rows: tuple[Row, ...]) -> list[Any]:
    return [pytest.param(row, id=row.id) for row in rows]


def dial(lab: OvirtLab, row: Row) -> OvirtSite:
    """Log in as the row says."""
    said = dict(row.site)
    if "path" in said:
        said["url"] = lab.address + said.pop("path")
    return connect(lab, **said)


@contextlib.contextmanager
def broken(lab: OvirtLab, row: Row, vm: LabVm | None = None) -> Iterator[None]:
    """Let it be so for the length of a block; each fault has to have been met."""
    lab.hook("settings", **row.engine)
    for one in row.faults:
        lab.fault(one.action, dict(one.match), **one.more)
    _force(lab, row.state, vm)
    yield
    unmet = [rule for rule in lab.hook("faults") if not rule["used"]]
    lab.hook("faults", clear=True)
    _force(lab, NORMAL if row.state else {}, vm)
    assert not unmet, "the row breaks nothing"


NORMAL = {"vm": {"status": "up", "locked": False}, "disk": {"status": "ok", "reported_size": None}}


def _force(lab: OvirtLab, state: Any, vm: LabVm | None) -> None:
    for kind, facts in state.items():
        assert vm is not None
        lab.hook(f"set_{kind}", **{kind: vm.id if kind == "vm" else vm.disks[0]}, **facts)


def check_error(row: Row, error: EngineError, **names: str) -> None:
    """It is of the right class, is tried again as it should, and says what failed and what to do."""
    assert row.error is not None, f"should have been outlasted: {type(error).__name__}: {error}"
    exact = row.error is not EngineError and not row.error.__subclasses__()
    assert type(error) is row.error if exact else isinstance(error, row.error), f"{type(error).__name__}: {error}"
    assert error.retry is row.retry
    assert error.fix
    for word in row.words:
        assert word.format(**names) in error.what, error.what


@pytest.mark.parametrize("row", ids(LOOKS))
def test_look(stage: Stage, row: Row) -> None:
    before = stage.prod.state()
    with broken(stage.prod, row), dial(stage.prod, row) as site:
        try:
            listed = [site.check().name, *(vm.name for vm in site.list_vms())]
        except EngineError as error:
            check_error(row, error)
        else:
            assert row.error is None
            assert len(listed) == 1 + len(before["vms"])
    assert stage.prod.state() == before
    assert len(list(stage.source.list_vms())) == len(before["vms"])


@pytest.mark.parametrize("row", ids(BACKUPS))
def test_backup(stage: Stage, row: Row, modern: None) -> None:
    vm = stage.add_vm(**{"wishes": [{"size": SIZE}], **row.vm})
    if not row.first:
        stage.back_up(vm)
        stage.write(vm.disks[0], seed=1, size=SIZE)
    known = [one.id for one in list_backups(stage.vault)] if stage.vault.path.is_dir() else []
    policy = stage.policy(vm, consistency="filesystem" if row.freeze else "crash")
    run, held = stage.run(), stage.copy_at(stage.prod, vm.disks[0])
    with broken(stage.prod, row, vm), dial(stage.prod, row) as site:
        try:
            done = operations.back_up_vm(site, stage.vault, policy, run)
        except EngineError as error:
            check_error(row, error, vm=vm.name, disk=vm.disks[0])
            done = None
    assert (done is None) == (row.error is not None)
    if done is not None:
        assert done["disks"][0]["method"] == row.method
        assert all(any(word in note for note in done["notes"]) for word in row.words)
        assert kept(stage, vm, done) == held
    elif stage.vault.path.is_dir():
        assert [one.id for one in list_backups(stage.vault)] == known
    check_the_rest(stage, vm, run, row)


def check_the_rest(stage: Stage, vm: LabVm, run: RunId, row: Row) -> None:
    """Nothing is left over, and the run that goes on, after whatever a person had to change, is right."""
    swept = operations.sweep(stage.source, lambda owner: owner == run.text, vault=stage.vault)
    assert swept["failed"] == []
    assert not stage.leftovers(stage.prod, vm)
    stage.write(vm.disks[0], seed=2, size=SIZE)
    held = stage.copy_at(stage.prod, vm.disks[0])
    done = stage.back_up(vm, run if row.error is not None else None)
    assert kept(stage, vm, done) == held
    assert verify(stage.vault, vm.name).sound
    assert not stage.leftovers(stage.prod, vm)


def kept(stage: Stage, vm: LabVm, done: dict[str, Any]) -> str:
    """What the vault gives back, without any site."""
    (disk,) = done["disks"]
    path = stage.tmp / f"{done['backup']}.raw"
    restore(stage.vault, vm.name, {disk["name"]: EndpointSpec("file", str(path))}, backup=done["backup"])
    return digest(path)


@pytest.fixture
def modern(stage: Stage) -> Iterator[None]:
    """The engine is of today again, whatever a row made it."""
    yield
    stage.prod.hook("settings", version="4.5.5")


@pytest.fixture(scope="module")
def shelf(prod: OvirtLab, dr: OvirtLab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LabVm, str]:
    """A vault that tests only read: one VM with one disk. It is at the target once, so that all rows get new ids."""
    tmp = tmp_path_factory.mktemp("shelf")
    with connect(prod) as source, connect(dr) as target:
        made = Stage(prod, dr, source, target, tmp, lambda: f"saved-{tmp.name}")
        vm = made.add_vm(wishes=[{"size": SIZE}], nics=[{"name": "nic1"}])
        made.back_up(vm)
        made.restore(vm, rule=made.rule(suffix="_first"))
        return tmp / "vault", vm, made.copy_at(prod, vm.disks[0])


@pytest.mark.parametrize("row", ids(RESTORES))
def test_restore(stage: Stage, shelf: tuple[Path, LabVm, str], row: Row, unique: Callable[[], str]) -> None:
    stage.vault_path, vm, held = shelf
    rule, run = stage.rule(suffix=unique(), **row.rule), stage.run("restore")
    where = stage.tmp / "job"
    with broken(stage.dr, row), dial(stage.dr, row) as site:
        try:
            done = operations.restore_vm(site, stage.vault, vm.name, rule, run, job_dir=where)
        except EngineError as error:
            check_error(row, error, vm=vm.name, disk=f"{vm.name}_Disk1")
            done = None
    assert (done is None) == (row.error is not None)
    if done is None:
        assert stage.target.find_vm(f"{vm.name}{rule.suffix}") is None or row.step in AFTER_THE_VM
        check_swept(stage, run)
        done = stage.restore(vm, run, rule=rule, job_dir=where)
    (disk,) = stage.restored_disks(stage.dr, done["vm_id"])
    assert stage.copy_at(stage.dr, disk) == held
    assert done["status"] == ("up" if rule.start else "down")
    assert disk not in stage.dr.state()["locked_disks"]
    assert owed(stage, run) == []


AFTER_THE_VM = ("attach", "cards", "complete", "start VM")


def check_swept(stage: Stage, run: RunId) -> None:
    """Everything but proven disks goes; those are a person's to remove."""
    swept = operations.sweep(stage.target, lambda owner: owner == run.text)
    assert swept["failed"] == []
    assert owed(stage, run) == []
    assert not stage.dr.state()["open_transfers"]


def owed(stage: Stage, run: RunId) -> list[Any]:
    return [one for one in stage.target.leases() if one.owner == run.text and not one.holds_verified_bytes]


@pytest.fixture
def unique(new_name: Callable[[], str]) -> Callable[[], str]:
    return lambda: f"_{new_name()}"


def test_the_table_is_whole() -> None:
    rows = [(table, row.id) for table, found in ROWS.items() for row in found]
    assert len(rows) == len(set(rows)) >= 80
    for found in ROWS.values():
        assert all((row.error is None) == (row.retry is None) for row in found)
        assert all(row.faults or row.site or row.state or row.engine for row in found)
        assert all(row.broken and row.step for row in found)
