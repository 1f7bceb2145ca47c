"""What the pump plans to look at, against a plain model of leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.extents import Extent
from vmferry.engine.pump.plan import GroupTask, ZeroTask, plan_tasks

LEAF = 65536
GROUP = 64 * LEAF


@st.composite
def disks(draw: st.DrawFn) -> tuple[int, list[Extent]]:
    """A disk's size and extents, with or without gaps, cut at odd places."""
    size = draw(st.integers(1, 40 * GROUP // 10))
    cuts = sorted(draw(st.sets(st.integers(1, size), max_size=12)) | {size})
    kinds = draw(st.lists(st.sampled_from(["data", "zero", "gap"]), min_size=len(cuts), max_size=len(cuts)))
    extents, start = [], 0
    for cut, kind in zip(cuts, kinds, strict=True):
        if kind != "gap":
            extents.append(Extent(start, cut - start, kind == "zero"))
        start = cut
    return size, extents


@given(disks())
def test_every_leaf_is_planned_once_as_what_it_is(disk: tuple[int, list[Extent]]) -> None:
    size, extents = disk
    planned: dict[int, str] = {}
    last = -1
    for task in plan_tasks(extents, size):
        first = task.number if isinstance(task, GroupTask) else task.first
        assert first > last
        last = first + (task.groups - 1 if isinstance(task, ZeroTask) else 0)
        for leaf, what in _leaves(task, size):
            assert planned.setdefault(leaf, what) == what
    assert planned == _expected(size, extents)


def _leaves(task: GroupTask | ZeroTask, size: int) -> list[tuple[int, str]]:
    leaves = -(-size // LEAF)
    if isinstance(task, ZeroTask):
        return [(n, "zero") for n in range(task.first * 64, min((task.first + task.groups) * 64, leaves))]
    assert not task.read & task.zero
    found = [(task.number * 64 + b, "read") for b in range(64) if task.read >> b & 1]
    return found + [(task.number * 64 + b, "zero") for b in range(64) if task.zero >> b & 1]


def _expected(size: int, extents: list[Extent]) -> dict[int, str]:
    expected = {}
    for leaf in range(-(-size // LEAF)):
        start, end = leaf * LEAF, min((leaf + 1) * LEAF, size)
        parts = [(max(e.start, start), min(e.end, end), e.zero) for e in extents if e.start < end and e.end > start]
        if parts:
            zeros = sum(stop - begin for begin, stop, zero in parts if zero)
            expected[leaf] = "zero" if zeros == end - start else "read"
    return expected


def test_a_pebibyte_of_zeros_is_one_task() -> None:
    assert list(plan_tasks([Extent(0, 1 << 50, True)], 1 << 50)) == [ZeroTask(0, 1 << 28)]
