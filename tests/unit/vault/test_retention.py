"""What stays: each rule by itself, and that nothing ever loses what it stands on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.vault.errors import BadRetention
from vmferry.vault.retention import Action, Candidate, Folding, Layer, Plan, Rules, plan_retention

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


def daily(count: int, fulls: tuple[int, ...] = (0,)) -> list[Candidate]:
    """One backup a day; those named in `fulls` are full."""
    found = []
    for number in range(count):
        parent = None if number in fulls else f"b{number - 1:03}"
        size = 1000 if parent is None else 10
        moment = START + timedelta(days=number)
        found.append(Candidate(f"b{number:03}", moment, size, {"root": Layer(parent, size)}))
    return found


def actions(plan: Plan) -> str:
    return "".join(one.action.value[0] for one in plan.decisions)


def test_each_rule_keeps_the_newest_of_its_periods() -> None:
    plan = plan_retention(daily(60, tuple(range(60))), Rules(3, 2, 2), START + timedelta(days=60))
    kept = {one.id: one.reason for one in plan.decisions if one.action is Action.KEEP}
    # The 60th day is Sunday, 1 March 2026.
    assert kept == {"b059": "daily", "b058": "daily", "b057": "daily", "b052": "weekly"}
    assert plan.ids(Action.DELETE)[0] == "b000"


def test_a_period_without_a_backup_does_not_count() -> None:
    few = [one for one in daily(30, tuple(range(30))) if one.id in ("b000", "b001", "b029")]
    plan = plan_retention(few, Rules(keep_daily=2), START + timedelta(days=30))
    assert plan.ids(Action.KEEP) == ("b001", "b029")


def test_nothing_older_than_the_greatest_age_stays_but_the_newest() -> None:
    plan = plan_retention(daily(9, tuple(range(9))), Rules(keep_daily=7, max_age_days=3), START + timedelta(days=400))
    assert plan.ids(Action.KEEP) == ("b008",)


def test_age_alone_keeps_everything_younger() -> None:
    plan = plan_retention(daily(9, tuple(range(9))), Rules(max_age_days=3), START + timedelta(days=8))
    assert plan.ids(Action.KEEP) == ("b005", "b006", "b007", "b008")


@pytest.mark.parametrize(
    ("folding", "expected", "parent"),
    [(Folding.ALWAYS, "ffffkk", None), (Folding.NEVER, "aaaakk", "b003"), (Folding.AUTO, "afffkk", "b000")],
    ids=["always", "never", "auto"],
)
def test_what_kept_backups_stand_on(folding: Folding, expected: str, parent: str | None) -> None:
    plan = plan_retention(daily(6), Rules(keep_daily=2, folding=folding), START + timedelta(days=6))
    assert actions(plan) == expected
    assert [one.parent for one in plan.rewrites] == ([] if folding is Folding.NEVER else [parent])


def test_a_full_backup_is_folded_once_enough_lies_above_it() -> None:
    grown = [
        replace(one, layers={"root": Layer(one.layers["root"].parent, 90)}) if n else one
        for n, one in enumerate(daily(6))
    ]
    plan = plan_retention(grown, Rules(keep_daily=2), START + timedelta(days=6))
    assert actions(plan) == "ffffkk"


def test_a_damaged_backup_stays_and_so_does_what_it_stands_on() -> None:
    some = daily(8, (0, 3, 6))
    some[4] = replace(some[4], sound=False)
    some[5] = replace(some[5], sound=False)
    plan = plan_retention(some, Rules(keep_daily=1), START + timedelta(days=8))
    assert actions(plan) == "dddallak"


def test_a_torn_backup_may_stand_on_anything_older() -> None:
    some = daily(5, (0, 1, 2, 3, 4))
    some[2] = replace(some[2], sound=False, readable=False, layers={})
    plan = plan_retention(some, Rules(keep_daily=1), START + timedelta(days=5))
    assert actions(plan) == "llldk"


def test_the_newest_sound_backup_stays_though_a_newer_one_is_damaged() -> None:
    some = daily(3, (0, 1, 2))
    some[2] = replace(some[2], sound=False)
    plan = plan_retention(some, Rules(max_age_days=1), START + timedelta(days=99))
    assert actions(plan) == "dkl"


def test_held_and_needed_backups_stay_as_they_are() -> None:
    some = daily(7, (0, 4))
    some[2] = replace(some[2], held=True)
    some[5] = replace(some[5], needed=True)
    plan = plan_retention(some, Rules(keep_daily=1, folding=Folding.ALWAYS), START + timedelta(days=7))
    assert actions(plan) == "aakdakk"
    assert plan.rewrites == ()


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(keep_daily=-1),
        Rules(keep_weekly=10**9),
        Rules(keep_daily=1, max_age_days=0),
        Rules(max_age_days=10**6),
    ],
    ids=["nothing", "negative", "absurd", "no-age", "absurd-age"],
)
def test_nobody_means_this(rules: Rules) -> None:
    with pytest.raises(BadRetention):
        plan_retention(daily(3), rules, START)


@st.composite
def vaults(draw: st.DrawFn) -> list[Candidate]:
    """Backups of two disks, each of which stands on any older backup that has it, or is full."""
    found: list[Candidate] = []
    for number in range(draw(st.integers(1, 12))):
        layers = {}
        for disk in ("root", "data"):
            older = [one.id for one in found if disk in one.layers]
            layers[disk] = Layer(draw(st.sampled_from([None, *older[-3:]])), draw(st.integers(1, 100)))
        sound = draw(st.booleans()) or number == 0
        sound = sound and all(one.sound for one in found for layer in layers.values() if layer.parent == one.id)
        held = draw(st.integers(0, 9)) == 0
        moment = START + timedelta(days=number)
        found.append(Candidate(f"b{number:03}", moment, 10, layers, sound=sound, held=held))
    return found


@given(vaults(), st.integers(0, 3), st.integers(0, 2), st.none() | st.integers(1, 9), st.sampled_from(Folding))
def test_no_backup_loses_what_it_stands_on(
    some: list[Candidate], days: int, weeks: int, age: int | None, folding: Folding
) -> None:
    rules = Rules(days, weeks, max_age_days=age if days or weeks or age else 5, folding=folding)
    plan = plan_retention(some, rules, START + timedelta(days=12))
    gone = set(plan.ids(Action.DELETE, Action.FOLD))
    anew = {(one.backup, one.disk): one.parent for one in plan.rewrites}
    by_id = {one.id: one for one in some}
    for one in some:
        if one.id in gone:
            continue
        for disk, layer in one.layers.items():
            assert anew.get((one.id, disk), layer.parent) not in gone
        if one.held or not one.sound:
            assert not any((one.id, disk) in anew for disk in one.layers)
    assert max((one.id for one in some if one.sound), default="") not in gone
    for rewrite in plan.rewrites:
        walked, parent = [], by_id[rewrite.backup].layers[rewrite.disk].parent
        while parent != rewrite.parent:
            assert parent is not None
            walked.append(parent)
            parent = by_id[parent].layers[rewrite.disk].parent
        assert tuple(walked) == rewrite.folded


@pytest.mark.parametrize("lost", [1, 3], ids=["second", "fourth"])
def test_nothing_goes_on_which_a_chain_may_stand_that_has_lost_its_middle(lost: int) -> None:
    chain = [one for number, one in enumerate(daily(6)) if number != lost]
    broken = [replace(one, sound=one.id < f"b{lost:03}") for one in chain]
    newer = Candidate("b100", START + timedelta(days=9), 1000, {"root": Layer(None, 1000)})
    plan = plan_retention([*broken, newer], Rules(keep_daily=1), START + timedelta(days=10))
    assert plan.ids(Action.DELETE, Action.FOLD) == ()
    assert plan.ids(Action.LEAVE) == tuple(one.id for one in chain)
