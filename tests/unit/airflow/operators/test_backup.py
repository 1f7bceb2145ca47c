"""The steps of a backup against a simulated engine, without Airflow's database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from tests.unit.airflow.policies import resolved, write_policy

from vmferry.operators.backup import (
    OPENED,
    BackUpDiskOperator,
    CheckVmLockOperator,
    ClosePointOperator,
    OpenPointOperator,
    PublishOperator,
    ValidateEnvironmentOperator,
)
from vmferry.platforms.errors import NotThere, VmBusy
from vmferry.vault import list_backups, open_vault


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("engine"), delay=0.01) as lab:
        yield lab


@pytest.fixture(scope="module")
def vm(engine: OvirtLab) -> LabVm:
    made = engine.add_vm("web01", [{"size": 4 << 20}])
    engine.guest_write(made.disks[0], 0, b"something" * 1000)
    return made


@pytest.fixture
def given(engine: OvirtLab, vm: LabVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What every operator of the VM is given."""
    assert vm.name == "web01"
    fields = {"conn_type": "vmferry_ovirt", "host": engine.url, "login": engine.user}
    extra = {"ca_file": str(engine.ca)}
    value = json.dumps({**fields, "password": engine.password_secret, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_SOURCE", value)
    write_policy(tmp_path / "p.json", backup_directory=str(tmp_path / "vault"), vms_config={"web01": {}})
    vms, sites, vault = resolved(tmp_path / "p.json")
    return {"site": sites["source"], "policy": vms[0], "vault": vault}


class Run:
    """One run of a DAG, as far as a task sees it."""

    def __init__(self, run_id: str, run_type: str = "manual") -> None:
        self.xcoms: dict[str, Any] = {}
        self.events: dict[Any, Any] = {}
        self.run_id = run_id
        self.run_type = run_type

    def context(self, store: Any) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="backup_web01", run_id=self.run_id, xcom_push=lambda key, value: self.xcoms.update({key: value})
        )
        return {
            "ti": ti,
            "dag_run": SimpleNamespace(run_type=self.run_type),
            "params": {"full": None},
            "task_state_store": store,
            "outlet_events": self.events,
        }


def test_the_steps_make_a_backup_and_give_the_point_back(engine: OvirtLab, given: dict[str, Any], store: Any) -> None:
    run = Run("one")
    context = run.context(store)

    names = OpenPointOperator(task_id="open", **given).execute(context)
    again = OpenPointOperator(task_id="open", **given).execute(context)
    opened = json.loads(json.dumps(run.xcoms[OPENED]))
    copying = {"site": given["site"], "rates": {"bytes_per_s": None, "windows": []}, "opened": opened}
    done = [BackUpDiskOperator(task_id="copy", disk=name, **copying).execute(context) for name in names]
    ClosePointOperator(task_id="close", **given).execute(context)
    summary = PublishOperator(task_id="publish", opened=opened, **given).execute(context)

    assert again == names
    assert [disk["root"] for disk in summary["disks"]] == [disk["root"] for disk in done]
    assert [one.id for one in list_backups(open_vault(given["vault"]), "web01")] == [summary["backup"]]
    assert engine.password_secret not in json.dumps([opened, done, summary, store])
    left = engine.state()
    assert (left["open_backups"], left["open_transfers"]) == ({}, {})


def test_a_vm_that_is_busy_is_waited_for_without_a_worker(engine: OvirtLab, given: dict[str, Any], store: Any) -> None:
    somebody = Run("somebody").context(store)
    OpenPointOperator(task_id="open", **given).execute(somebody)
    other = {**Run("other").context(store)}
    other["ti"].get_dagrun_state = lambda dag_id, run_id: "running"
    operator = CheckVmLockOperator(task_id="check", wait_s=60, every_s=30, **given)

    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(other)
    with pytest.raises(VmBusy):
        operator.look(other, None, waited_s=60.0)

    ClosePointOperator(task_id="close", **given).execute(somebody)
    assert deferred.value.kwargs == {"waited_s": 5.0}
    assert operator.look(other, None, waited_s=30.0)["vm"] == "web01"


def test_a_scheduled_run_outside_of_its_window_is_skipped(given: dict[str, Any], store: Any) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    window = [(now + timedelta(hours=hours)).strftime("%H:%M") for hours in (2, 4)]
    policy = {**given["policy"], "window": window}
    operator = ValidateEnvironmentOperator(task_id="validate", **{**given, "policy": policy})

    with pytest.raises(AirflowSkipException, match="outside of its backup window"):
        operator.execute(Run("late", "scheduled").context(store))

    assert operator.execute(Run("by-hand").context(store))["vm"] == "web01"


def test_a_vm_that_is_gone_is_one_clear_error(given: dict[str, Any], store: Any) -> None:
    gone = {**given, "policy": {**given["policy"], "name": "nobody"}}

    with pytest.raises(NotThere, match="nobody"):
        CheckVmLockOperator(task_id="check", **gone).execute(Run("one").context(store))
