from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.errors import BadInput
from vmferry.engine.jobs.params import check_params
from vmferry.engine.jobs.spec import ID_LIMIT, JobKind, JobSpec, check_job_id, differences, job_id

FILE = {"kind": "file", "address": "/a"}
IMAGE = {"kind": "image", "address": "/a.qcow2", "format": "qcow2"}


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_parts_make_an_id_that_can_be_a_directory(parts: list[str]) -> None:
    made = job_id(*parts)
    assert check_job_id(made) == made
    assert made == job_id(*parts)


@given(st.lists(st.text(max_size=4), min_size=1, max_size=3), st.lists(st.text(max_size=4), min_size=1, max_size=3))
def test_other_parts_make_another_id(one: list[str], other: list[str]) -> None:
    assert one == other or job_id(*one) != job_id(*other)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(("backup_web01", "copy", 3), "backup_web01-copy-3", id="plain-parts-stay-readable"),
        pytest.param(("a=b", "c.d"), "a=b-c.d", id="equals-and-dots-stay"),
        pytest.param(("manual__2026-01-31",), "manual__2026_01_31-", id="a-dash-inside-a-part-gets-a-hash"),
        pytest.param(("x" * 300,), "x" * 107 + "-", id="too-long-is-cut-and-gets-a-hash"),
    ],
)
def test_ids_stay_readable(parts: tuple[object, ...], expected: str) -> None:
    made = job_id(*parts)
    assert made == expected or (expected.endswith("-") and made.startswith(expected))
    assert len(made) <= ID_LIMIT


@pytest.mark.parametrize(
    "raw", ["", ".", "..", ".hidden", "-rf", "a/b", "a b", "a\n", "x" * 121, "é"], ids=lambda raw: repr(raw)[:12]
)
def test_refuses_an_id_that_is_no_plain_name(raw: str) -> None:
    with pytest.raises(BadInput, match="cannot be a job id"):
        check_job_id(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(None, "no JSON object", id="nothing"),
        pytest.param({"id": "a", "kind": "copy", "params": []}, "no JSON object", id="params-is-a-list"),
        pytest.param({"id": "a", "kind": "move"}, "'move' is no kind", id="unknown-kind"),
        pytest.param({"id": "a", "kind": "copy", "version": 2}, "version 2", id="newer-version"),
        pytest.param({"id": "a", "kind": "copy", "secrets": {}}, "no field 'secrets'", id="a-secret-in-the-spec"),
    ],
)
def test_refuses_a_spec_that_is_wrong(raw: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        JobSpec.from_json(raw)


def test_a_spec_survives_json() -> None:
    spec = JobSpec("a", JobKind.COPY, {"source": FILE, "target": IMAGE, "workers": 2})
    assert JobSpec.from_json(spec.to_json()) == spec
    assert differences(spec, JobSpec.from_json(spec.to_json())) == []


def test_another_pace_is_the_same_job() -> None:
    slow = JobSpec("a", JobKind.COPY, {"source": FILE, "target": FILE, "rate": 1, "workers": 1})
    assert differences(slow, JobSpec("a", JobKind.COPY, {"source": FILE, "target": FILE, "rate": None})) == []


def test_differences_name_the_field() -> None:
    one = JobSpec("a", JobKind.COPY, {"source": FILE, "target": {"kind": "file", "address": "/b"}})
    other = JobSpec("a", JobKind.COPY, {"source": FILE, "target": {"kind": "file", "address": "/c"}, "since": "b"})
    assert differences(one, other) == [
        "params.since was None, now it is 'b'",
        "params.target.address was '/b', now it is '/c'",
    ]


@pytest.mark.parametrize(
    ("kind", "params", "says"),
    [
        pytest.param("copy", {"source": FILE}, "needs 'target'", id="no-target"),
        pytest.param("copy", {"source": FILE, "target": FILE, "worker": 1}, "takes no 'worker'", id="misspelt"),
        pytest.param("copy", {"source": FILE, "target": FILE, "workers": 0}, "workers cannot be 0", id="no-workers"),
        pytest.param(
            "copy", {"source": FILE, "target": FILE, "rate": True}, "rate cannot be True", id="rate-is-a-flag"
        ),
        pytest.param("copy", {"source": "/a", "target": FILE}, "source does not say", id="source-is-a-path"),
        pytest.param("proof", {"source": {"kind": "file"}}, "source does not say", id="source-has-no-address"),
        pytest.param("proof", {"source": FILE, "windows": [{"from": "8"}]}, "windows cannot be", id="half-a-window"),
        pytest.param("convert", {"source": FILE, "target": FILE}, "convert writes an image", id="convert-to-a-file"),
        pytest.param("fsck", {"disk": 3}, "disk cannot be 3", id="disk-is-a-number"),
        pytest.param(
            "copy", {"source": FILE, "target": FILE, "parent": [1]}, "parent cannot be", id="parent-of-numbers"
        ),
    ],
)
def test_refuses_params_that_are_wrong(kind: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=f"job x: .*{says}"):
        check_params(JobSpec("x", JobKind(kind), params))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("copy", {"source": FILE, "target": FILE, "windows": [{"from": "08:00", "to": "18:00", "bytes_per_s": 1}]}),
        ("convert", {"source": FILE, "target": IMAGE, "since": None}),
        ("inspect", {"source": FILE, "format": "qcow2", "allow_extents_beside": True}),
    ],
    ids=["copy-with-window", "convert-with-null", "inspect"],
)
def test_accepts_params_that_are_right(kind: str, params: dict[str, Any]) -> None:
    check_params(JobSpec("x", JobKind(kind), params))
    assert JobSpec("x", JobKind(kind), params).params == params
