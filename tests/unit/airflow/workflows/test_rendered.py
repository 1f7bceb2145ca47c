from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
from tests.unit.airflow.policies import write_policy

from vmferry.hooks.settings import template_directory
from vmferry.policy.load import load
from vmferry.policy.render import render_texts
from vmferry.policy.resolve import resolve
from vmferry.policy.surroundings import template_values

VMS = 60


def render_file(tmp_path: Path) -> str:
    policy = load(write_policy(tmp_path / "p.json", vms_config={f"vm{number:03}": {} for number in range(VMS)}))
    texts = render_texts(resolve(policy), template_directory() / "backup.py.j2", values=template_values(policy))
    (text,) = texts.values()
    return text


def dags_of(text: str) -> list[str]:
    made: dict[str, object] = {"__name__": "rendered"}
    exec(compile(text, "rendered.py", "exec"), made)
    return [name for name, value in made.items() if isinstance(value, DAG)]


def test_a_file_has_a_dag_for_each_vm(tmp_path: Path) -> None:
    text = render_file(tmp_path)

    assert dags_of(text) == [f"backup_vm{number:03}" for number in range(VMS)]


def test_a_task_that_starts_makes_only_its_own_dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = render_file(tmp_path)
    for part in ("DAG_ID", "TASK_ID"):  # Airflow's manager leaves its own words in the environment
        monkeypatch.setenv(f"_AIRFLOW_PARSING_CONTEXT_{part}", "")

    with _airflow_parsing_context_manager(dag_id="backup_vm007", task_id="publish"):
        assert dags_of(text) == ["backup_vm007"]


def test_parsing_reaches_neither_vault_nor_platforms(tmp_path: Path) -> None:
    text = render_file(tmp_path)
    rooms = "vmferry.vault vmferry.operations vmferry.platforms pydantic_settings ovirtsdk4 jinja2.sandbox"
    check = (
        f"\nimport sys\nprint([one for one in {rooms.split()!r} if one in sys.modules and one.startswith('vmferry')])"
    )
    (tmp_path / "dag.py").write_text(text + check)

    done = subprocess.run([sys.executable, str(tmp_path / "dag.py")], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
