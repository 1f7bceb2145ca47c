# SPDX-License-Identifier: Apache-2.0
"""Which backups stay: grandfather, father, son, and a greatest age. Pure: values in, a plan out, nothing touched.

A rule keeps the newest backup of each of the last N days (weeks, months; UTC) that have one. A backup stays when any
rule keeps it and it is not older than the greatest age; with no such rule every backup young enough stays. Above all
rules: the newest sound backup stays, held ones stay, and so does everything a staying backup stands on, as its
ancestor or folded into it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmferry.vault.errors import BadRetention

_MOST = 10_000
_LONGEST_DAYS = 36_500
_WORTH_SHARE = 0.2
"""A full backup is only folded when what lies above it is this part of its size: rewriting it every day would cost more
than the few changed blocks that are freed."""


class Folding(enum.Enum):
    """What happens to a backup nobody keeps, on which kept ones stand."""

    AUTO = "auto"
    """Fold; a full backup only when enough has gathered above it."""
    ALWAYS = "always"
    """Fold."""
    NEVER = "never"
    """It stays as an ancestor: no byte is rewritten."""


class Action(enum.Enum):
    """What becomes of a backup."""

    KEEP = "keep"
    """A rule keeps it."""
    ANCESTOR = "ancestor"
    """Nobody keeps it, but kept ones stand on it."""
    FOLD = "fold"
    """Its bytes go into the kept backups that stand on it, then it is deleted."""
    DELETE = "delete"
    """Nobody needs it."""
    LEAVE = "leave"
    """It is damaged, or a damaged one may stand on it: a person has to look."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A retention policy. 0 keeps none by that rule; None sets no limit."""

    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    max_age_days: int | None = None
    folding: Folding = Folding.AUTO

    def check(self) -> None:
        """Raise `BadRetention` when nobody can mean this."""
        for name in ("keep_daily", "keep_weekly", "keep_monthly"):
            if not 0 <= getattr(self, name) <= _MOST:
                raise BadRetention(f"{name} is {getattr(self, name)}", fix=f"give a number from 0 to {_MOST}")
        if self.max_age_days is not None and not 1 <= self.max_age_days <= _LONGEST_DAYS:
            raise BadRetention(f"max_age_days is {self.max_age_days}", fix=f"give a number from 1 to {_LONGEST_DAYS}")
        if not self.has_counts and self.max_age_days is None:
            raise BadRetention(
                "no rule keeps anything", fix="give keep_daily, keep_weekly, keep_monthly or max_age_days"
            )

    @property
    def has_counts(self) -> bool:
        """Tell whether any GFS rule is set."""
        return bool(self.keep_daily or self.keep_weekly or self.keep_monthly)


@dataclass(frozen=True, slots=True)
class Layer:
    """One disk of a candidate: what it stands on and how big its file is."""

    parent: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup as retention sees it."""

    id: str
    moment: datetime
    size_bytes: int
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """By disk."""
    sound: bool = True
    """A quick check found nothing wrong with it, nor with what it stands on."""
    readable: bool = True
    """False: point.json is torn, so nobody knows what it stands on."""
    held: bool = False
    needed: bool = False
    """An unfinished backup is about to stand on it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one backup, and why."""

    id: str
    action: Action
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """New files for one disk of a staying backup."""

    backup: str
    disk: str
    folded: tuple[str, ...]
    """The backups whose bytes it takes in, newest first."""
    parent: str | None
    """What it stands on afterwards; None: it becomes full."""
    at_most_bytes: int
    """An upper bound of what is written."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What prune would do."""

    decisions: tuple[Decision, ...]
    """Oldest first."""
    rewrites: tuple[Rewrite, ...]

    def ids(self, *actions: Action) -> tuple[str, ...]:
        """List the backups something happens to."""
        return tuple(one.id for one in self.decisions if one.action in actions)

    @property
    def removed_bytes(self) -> int:
        """Size of the backups that go away."""
        return sum(one.size_bytes for one in self.decisions if one.action in (Action.DELETE, Action.FOLD))


def plan_retention(candidates: Sequence[Candidate], rules: Rules, now: datetime) -> Plan:
    """Decide for each backup of one VM."""
    rules.check()
    known = {one.id: one for one in sorted(candidates, key=lambda one: one.moment)}
    kept = _kept(tuple(known.values()), rules, now)
    left = _left(known)
    pinned = {one.id: "held" for one in known.values() if one.held}
    pinned.update({one.id: "an unfinished backup is about to stand on it" for one in known.values() if one.needed})
    staying = set(kept) | set(left) | set(pinned)
    # What a held backup stands on is not rewritten either: its files stay the ones that were held.
    ancestors = _ancestors(known, set(left) | set(pinned)) - staying
    staying |= ancestors
    extra = _not_worth_folding(known, staying, rules.folding)
    staying |= extra
    rewrites = tuple(_rewrites(known, staying))
    folded = {gone for rewrite in rewrites for gone in rewrite.folded}
    decide = _decider(kept, left, pinned, ancestors | extra, folded)
    return Plan(tuple(decide(one) for one in known.values()), rewrites)


def _kept(candidates: Sequence[Candidate], rules: Rules, now: datetime) -> dict[str, str]:
    sound = [one for one in candidates if one.sound]
    kept: dict[str, str] = {}
    for name, count, period in (
        ("monthly", rules.keep_monthly, lambda moment: (moment.year, moment.month)),
        ("weekly", rules.keep_weekly, lambda moment: tuple(moment.isocalendar())[:2]),
        ("daily", rules.keep_daily, lambda moment: moment.date()),
    ):
        kept.update({found: name for found in _newest_of_each(sound, count, period)})
    if not rules.has_counts:
        kept = {one.id: "young enough" for one in sound}
    if rules.max_age_days is not None:
        oldest = now - timedelta(days=rules.max_age_days)
        young = {one.id for one in sound if one.moment >= oldest}
        kept = {one: reason for one, reason in kept.items() if one in young}
    if sound:
        kept.setdefault(sound[-1].id, "the newest sound backup")
    return kept


def _newest_of_each(candidates: Sequence[Candidate], count: int, period: Callable[[datetime], object]) -> Iterator[str]:
    seen: set[object] = set()
    for one in reversed(candidates):
        if len(seen) == count:
            return
        if period(one.moment) not in seen:
            seen.add(period(one.moment))
            yield one.id


def _left(known: Mapping[str, Candidate]) -> dict[str, str]:
    left = {one.id: "damaged: a person has to look" for one in known.values() if not one.sound}
    cut = [one for one in known.values() if not one.readable or _lost_parent(one, known)]
    if cut:
        newest = cut[-1]
        why = "has lost what it stands on, which may stand" if newest.readable else "cannot be read and may stand"
        for one in known.values():
            if one.moment < newest.moment:
                left.setdefault(one.id, f"{newest.id} {why} on it")
    return left


def _lost_parent(one: Candidate, known: Mapping[str, Candidate]) -> bool:
    return any(layer.parent is not None and layer.parent not in known for layer in one.layers.values())


def _ancestors(known: Mapping[str, Candidate], of: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(of)
    while waiting:
        for layer in known[waiting.pop()].layers.values():
            if layer.parent is not None and layer.parent in known and layer.parent not in found:
                found.add(layer.parent)
                waiting.append(layer.parent)
    return found


def _paths(known: Mapping[str, Candidate], staying: set[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (backup, disk, what goes away directly below it) for every staying disk that stands on something going."""
    for one in known.values():
        if one.id not in staying:
            continue
        for disk, layer in one.layers.items():
            below: list[str] = []
            parent = layer.parent
            while parent is not None and parent not in staying and parent in known:
                below.append(parent)
                parent = known[parent].layers[disk].parent
            if below:
                yield one.id, disk, tuple(below)


def _not_worth_folding(known: Mapping[str, Candidate], staying: set[str], folding: Folding) -> set[str]:
    if folding is Folding.ALWAYS:
        return set()
    extra: set[str] = set()
    if folding is Folding.NEVER:
        return {gone for _, _, below in _paths(known, staying) for gone in below}
    while True:
        more = {
            below[-1]
            for child, disk, below in _paths(known, staying | extra)
            if not _is_worth(known, child, disk, below)
        }
        if not more:
            return extra
        extra |= more


def _is_worth(known: Mapping[str, Candidate], child: str, disk: str, below: tuple[str, ...]) -> bool:
    base = known[below[-1]].layers[disk]
    above = sum(known[one].layers[disk].size_bytes for one in (child, *below[:-1]))
    return base.parent is not None or above >= _WORTH_SHARE * base.size_bytes


def _rewrites(known: Mapping[str, Candidate], staying: set[str]) -> Iterator[Rewrite]:
    for child, disk, below in _paths(known, staying):
        written = sum(known[one].layers[disk].size_bytes for one in (child, *below))
        yield Rewrite(child, disk, below, known[below[-1]].layers[disk].parent, written)


def _decider(
    kept: Mapping[str, str], left: Mapping[str, str], pinned: Mapping[str, str], ancestors: set[str], folded: set[str]
) -> Callable[[Candidate], Decision]:
    def decide(one: Candidate) -> Decision:
        if one.id in left:
            return Decision(one.id, Action.LEAVE, left[one.id], one.size_bytes)
        if one.id in pinned or one.id in kept:
            return Decision(one.id, Action.KEEP, pinned.get(one.id) or kept[one.id], one.size_bytes)
        if one.id in ancestors:
            return Decision(one.id, Action.ANCESTOR, "kept backups stand on it", one.size_bytes)
        if one.id in folded:
            return Decision(
                one.id, Action.FOLD, "no rule keeps it; its bytes go into those that stand on it", one.size_bytes
            )
        return Decision(one.id, Action.DELETE, "no rule keeps it", one.size_bytes)

    return decide
