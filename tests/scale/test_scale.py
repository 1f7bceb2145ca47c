"""Thousands of VMs, each with a DAG of its own: what they cost. CPU seconds, since wall time is the machine's."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scale.crowd import ROOT, Crowd, measure
from tests.scale.processor import Processor

Tell = Callable[[str], None]

CPU_A_DAG_S = 0.025
CPU_A_TASK_START_S = 0.1
LISTED_WITHIN_S = 1500.0
"""On a machine that has other things to do. Alone it takes two minutes."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


def test_a_policy_of_thousands_is_rendered_into_small_files(crowd: Crowd, tell: Tell) -> None:
    said, cost = crowd.render()
    files = [path.stat().st_size for path in crowd.rendered.glob("*.py")]
    tell(f"render {crowd.count} VMs, nothing changed: {cost.cpu_s:.1f} CPU s, {len(files)} files, {sum(files)} bytes")
    assert said["written"] == []
    assert len(said["unchanged"]) == len(files) >= crowd.count / 100
    assert max(files) < 256 << 10


def test_every_dag_is_listed_and_an_edit_costs_one_file(crowd: Crowd, scratch: Path, tell: Tell) -> None:
    start_s = Processor(scratch / "empty", scratch / "no-files").run_once().cpu_s
    processor = Processor(scratch / "full", crowd.rendered)
    with processor.running():
        began = time.monotonic()
        processor.wait(lambda: processor.listed() == crowd.count, f"{crowd.count} DAGs", LISTED_WITHIN_S)
        wall_s, cpu_s = time.monotonic() - began, processor.cpu_s()
        tell(
            f"list {crowd.count} DAGs: {cpu_s:.1f} CPU s, {cpu_s / crowd.count * 1000:.1f} ms a DAG with the start of"
            f" the processor ({start_s:.1f} CPU s), {(cpu_s - start_s) / crowd.count * 1000:.1f} ms without;"
            f" {wall_s:.0f} s by the clock"
        )
        _edit_one(crowd, processor, tell)
    # The stricter reading: the processor, its children and its start, all of it.
    assert cpu_s / crowd.count <= CPU_A_DAG_S


def _edit_one(crowd: Crowd, processor: Processor, tell: Tell) -> None:
    before = processor.parsed()
    crowd.vms["vm00042"] = {"schedule": {"type": "simple", "pattern": "daily", "time": "05:05"}}
    crowd.write_policy()
    said, _ = crowd.render()
    name = crowd.file_of("vm00042").name
    assert said["written"] == [name]
    used_s = processor.cpu_s()
    processor.wait(lambda: processor.parsed()[name] != before[name], f"{name} to be read again", 300)
    # What else it thinks has changed it has queued with this one: two more looks around, and it is read as well.
    for _ in range(2):
        looked = processor.looked()
        processor.wait(lambda last=looked: processor.looked() != last, "another look around", 120)  # type: ignore[misc]
    after = processor.parsed()
    tell(f"edit of one VM: 1 file written and read again, {processor.cpu_s() - used_s:.1f} CPU s")
    assert [file for file in after if after[file] != before[file]] == [name]


def test_a_task_parses_only_the_dag_it_is_of(crowd: Crowd, scratch: Path, tell: Tell) -> None:
    airflow = Processor(scratch / "task", crowd.rendered).airflow
    program = [sys.executable, str(ROOT / "tests" / "scale" / "task_start.py"), str(crowd.file_of("vm04321"))]
    for _ in range(2):  # the first one compiles what a package brings compiled
        answer = measure([*program, "backup_vm04321"], airflow.environment()).output
    said = json.loads(answer.splitlines()[-1])
    tell(f"start of a task parses {said['dags']} DAG in {said['cpu_s'] * 1000:.0f} ms CPU")
    assert said["dags"] == 1
    assert said["cpu_s"] <= CPU_A_TASK_START_S
