"""Rendered files: deterministic, atomic, only ours, and no name breaks out of its quotes."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmferry.policy.days import Weekdays
from vmferry.policy.errors import BrokenTemplate, ForeignFile, PolicyError
from vmferry.policy.names import assign_dag_ids
from vmferry.policy.render import render, render_texts
from vmferry.policy.schedules import Schedule
from vmferry.policy.shards import cut_shards
from vmferry.policy.values import parse_time
from vmferry.policy.vm import Placement, VmPolicy

TEMPLATE = Path(__file__).parents[2] / "data" / "policy" / "sample.py.j2"
SCHEDULE = Schedule(Weekdays(frozenset({0})), (parse_time("02:00"),))


def make_vms(*names: str, site: str = "a") -> list[VmPolicy]:
    return [
        VmPolicy(name, site, dag_id, name, SCHEDULE, Placement("pool"))
        for name, dag_id in assign_dag_ids(names).items()
    ]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if not path.name.startswith(".")}


def names_in(text: str) -> list[str]:
    """Run the rendered file, as Airflow would."""
    space: dict[str, list[dict[str, str]]] = {}
    exec(compile(text, "rendered", "exec"), {}, space)
    return [vm["name"] for vm in space["VMS"]]


HOSTILE = [
    "'",
    '"',
    '"""',
    "'''",
    "\\",
    "a\\",
    "\n",
    "\r",
    "\u2028",
    "é",
    "\ud800",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "#",
    "\x00",
]
HOSTILE += [
    "']; import os; os.abort() #",
    '"""\nimport os\n"""',
    "${x}",
    "%s",
    "$(id)",
    "x" * 1000,
    "../../etc/passwd",
    "\u202e",
]


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    made = render(make_vms(*HOSTILE), TEMPLATE, tmp_path, values={"owner": "'\n"})
    assert made.written == ("backups_a.py",)
    text = (tmp_path / "backups_a.py").read_text()
    assert text.isascii()
    assert sorted(names_in(text)) == sorted(HOSTILE)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(min_size=1, max_size=20), unique=True, min_size=1, max_size=5))
def test_any_name_stays_a_name(names: list[str]) -> None:
    (text,) = render_texts(make_vms(*names), TEMPLATE, values={"owner": names[0]}).values()
    assert sorted(names_in(text)) == sorted(names)
    assert len(ast.parse(text).body) == len(
        ast.parse(next(iter(render_texts(make_vms("x"), TEMPLATE, values={"owner": ""}).values()))).body
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("X = '{{ vms[0].name }}'\n", "without quoting"),
        ("X = {{ vms[0].name | py | upper }}\n", "without quoting"),
        ("X = {{ vms[0].auto_restore }}\n", "without quoting"),
        ("X = {{ missing | py }}\n", "missing"),
        ("X = {{ 1 // 0 }}\n", "zero"),
        ("X = {{ vms | py }\n", "line 1"),
        ("X = = 1\n", "no valid Python"),
    ],
    ids=["bare", "filtered-again", "bool", "undefined", "division", "syntax", "no-python"],
)
def test_broken_template_changes_nothing(template: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.j2"
    path.write_text(template)
    target = tmp_path / "dags"
    render(make_vms("old"), TEMPLATE, target, values={"owner": "x"})
    before = contents(target)
    with pytest.raises(BrokenTemplate, match=message):
        render(make_vms("web"), path, target)
    assert contents(target) == before


def test_only_what_changed_is_written_and_what_is_gone_goes(tmp_path: Path) -> None:
    vms = make_vms(*(f"vm-{number}" for number in range(250)))
    first = render(vms, TEMPLATE, tmp_path, values={"owner": "x"})
    assert len(first.written) >= 3
    assert all(len(names_in((tmp_path / name).read_text())) <= 100 for name in first.written)
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.py")}

    again = render(list(reversed(vms)), TEMPLATE, tmp_path, values={"owner": "x"})
    assert not again.changed
    assert again.unchanged == first.written
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.py")} == stamps

    edited = [dataclasses.replace(vms[7], auto_restore=True), *vms[:7], *vms[8:]]
    assert len(render(edited, TEMPLATE, tmp_path, values={"owner": "x"}).written) == 1
    dry = render([], TEMPLATE, tmp_path, values={"owner": "x"}, dry_run=True)
    assert dry.removed == first.written
    assert set(contents(tmp_path)) == set(first.written)
    assert render([], TEMPLATE, tmp_path, values={"owner": "x"}).removed == first.written
    assert contents(tmp_path) == {}


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "own_dag.py"
    own.write_text("# somebody's\n")
    render(make_vms("web"), TEMPLATE, tmp_path, values={"owner": "x"})
    render([], TEMPLATE, tmp_path, values={"owner": "x"})
    assert contents(tmp_path) == {"own_dag.py": b"# somebody's\n"}
    (tmp_path / "backups_a.py").write_text("# in the way\n")
    with pytest.raises(ForeignFile, match=r"backups_a\.py"):
        render(make_vms("web"), TEMPLATE, tmp_path, values={"owner": "x"})
    assert (tmp_path / "backups_a.py").read_text() == "# in the way\n"


def test_edited_files_are_put_aside(tmp_path: Path) -> None:
    render(make_vms("web"), TEMPLATE, tmp_path, values={"owner": "x"})
    made = tmp_path / "backups_a.py"
    for number in (1, 2):
        made.write_text(made.read_text() + f"# by hand {number}\n")
        assert render(make_vms("web"), TEMPLATE, tmp_path, values={"owner": "x"}).put_aside == ("backups_a.py",)
    assert (tmp_path / "backups_a.py.edited").read_text().endswith("# by hand 1\n")
    assert (tmp_path / "backups_a.py.edited2").read_text().endswith("# by hand 2\n")
    assert "by hand" not in made.read_text()


AT_ONCE = """
import json, pathlib, sys
from vmferry.policy.render import render
from vmferry.policy.vm import VmPolicy
vms = [VmPolicy.from_json(one) for one in json.load(sys.stdin)]
for size in (3, 4):
    render(vms, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), shard_size=size, values={"owner": "x"})
"""


def test_two_at_once_leave_whole_files(tmp_path: Path) -> None:
    vms = make_vms(*(f"vm-{n}" for n in range(12)))
    given_vms = json.dumps([one.to_json() for one in vms])
    command = [sys.executable, "-c", AT_ONCE, str(TEMPLATE), str(tmp_path)]
    provider = Path(__file__).parents[3] / "provider"
    running = [subprocess.Popen(command, cwd=provider, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for one in running:
        assert one.stdin is not None
        one.stdin.write(given_vms)
        one.stdin.close()
    assert [one.wait(timeout=60) for one in running] == [0, 0]
    found = [name for path in tmp_path.glob("*.py") for name in names_in(path.read_text())]
    assert sorted(found) == sorted(one.name for one in vms)
    assert list(tmp_path.glob(".*.tmp")) == []


def test_shards_stay_put() -> None:
    vms = make_vms(*(f"vm-{number:04}" for number in range(1000)))
    before = {one.filename: one.vms for one in cut_shards(vms, 100)}
    extra = make_vms("one-more")
    after = {one.filename: one.vms for one in cut_shards([*vms, *extra], 100)}
    assert sum(1 for name, members in after.items() if before.get(name) != members) <= 2
    assert sorted(vm.name for members in before.values() for vm in members) == sorted(vm.name for vm in vms)
    assert max(len(members) for members in before.values()) <= 100


def test_shards_of_one_are_named_after_the_dag() -> None:
    assert [one.filename for one in cut_shards(make_vms("Web-1", "db"), 1)] == ["backup_db.py", "backup_web_1.py"]


def test_sites_and_vms_that_look_alike_do_not_meet() -> None:
    vms = [*make_vms("x", site="s-1"), *make_vms("y", site="s_1")]
    assert [[vm.name for vm in one.vms] for one in cut_shards(vms, 10)] in ([["y"], ["x"]], [["x"], ["y"]])
    with pytest.raises(PolicyError, match="both 'backup_x'"):
        cut_shards([*vms, *make_vms("x", site="other")], 10)
