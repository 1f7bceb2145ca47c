"""Tags: who owns an external object."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.errors import BadInput
from vmferry.platforms.runs import RunId, is_tag_of, parse_tag

AIRFLOW = "backup_web01/scheduled__2026-01-31T02:00:00+00:00"
TEXT = st.text(st.characters(exclude_categories=("C", "Z"), codec="utf-8"), min_size=1, max_size=300)


def test_a_tag_says_run_and_state() -> None:
    tag = parse_tag(RunId(AIRFLOW).tag("root=12ab", "verified"))
    assert tag is not None
    assert (tag.run, tag.words) == (AIRFLOW, ("root=12ab", "verified"))


@pytest.mark.parametrize(
    "text", [None, "", "vmferry", "a disk of vmferry:run", "vmferry: run", "VMFERRY:run", "vmferry:run  two"]
)
def test_what_is_not_ours_has_no_tag(text: str | None) -> None:
    assert parse_tag(text) is None


@given(TEXT)
def test_any_run_finds_its_own_tag_again(text: str) -> None:
    run = RunId(text)
    tag = parse_tag(run.tag("fresh"))
    assert tag is not None
    assert tag.is_of(run)
    assert len(run.tag("root=0123456789abcdef", "verified")) <= 255


@given(TEXT, TEXT)
def test_no_run_finds_the_tag_of_another(one: str, two: str) -> None:
    assert is_tag_of(RunId(one).tag(), RunId(two)) == (one == two)


def test_long_runs_that_begin_alike_stay_apart() -> None:
    one, two = RunId("r" * 400 + "1"), RunId("r" * 400 + "2")
    assert not is_tag_of(one.tag(), two)
    assert is_tag_of(two.tag("x"), two)


def test_ids_are_the_same_for_every_try_and_differ_by_what_they_name() -> None:
    run = RunId(AIRFLOW)
    ids = {run.derive_id("disk", "web", "root"), run.derive_id("disk", "web", "data"), RunId("b").derive_id("disk")}
    assert run.derive_id("disk", "web", "root") in ids
    assert len(ids) == 3
    assert all(str(uuid.UUID(one)) == one for one in ids)


@pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "\0"])
def test_bad_runs_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not the id of a run"):
        RunId(text)


def test_parts_are_joined_and_lose_their_spaces() -> None:
    assert RunId.of("dag", "manual run").text == "dag/manual_run"
