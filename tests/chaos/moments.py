"""When to kill: at random, but at the same moments every time unless VMFERRY_SEED says otherwise."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.jobs import wait_until

SEED = int(os.environ.get("VMFERRY_SEED", "2026"))
COPIER_KILLS, _, SERVER_KILLS = os.environ.get("VMFERRY_KILLS", "50/10").partition("/")


def share(total: str, parts: int, part: int) -> int:
    """Divide kills among tests."""
    return (int(total or 10) + parts - 1 - part) // parts


@dataclass(frozen=True)
class Moment:
    """Either so many bytes into the attempt, or so long after its start."""

    seed: str
    after_bytes: int | None
    after_s: float

    def __str__(self) -> str:
        where = f"{self.after_s:.3f} s" if self.after_bytes is None else f"{self.after_bytes} bytes"
        return f"kill {where} into the attempt (VMFERRY_SEED={SEED}, {self.seed})"

    def wait(self, moved_bytes: Callable[[], int], is_over: Callable[[], bool]) -> bool:
        """Wait for the moment; False when everything was over before."""
        started, before = time.monotonic(), moved_bytes()

        def has_come() -> bool:
            if self.after_bytes is None:
                return time.monotonic() - started >= self.after_s
            return moved_bytes() - before >= self.after_bytes

        wait_until(lambda: has_come() or is_over(), str(self), patience_s=100)
        return not is_over()


class Moments:
    """The moments of one test."""

    def __init__(self, name: str, *, most_bytes: int, most_s: float) -> None:
        self._name = name
        self._chance = random.Random(f"{SEED} {name}")
        self._most_bytes, self._most_s = most_bytes, most_s
        self._drawn = 0

    def draw(self) -> Moment:
        """Draw the next: two of three are in the middle of the bytes, one anywhere from the start to the end."""
        self._drawn += 1
        by_bytes = self._chance.random() < 0.66
        after_bytes, after_s = self._chance.randrange(self._most_bytes), self._chance.uniform(0, self._most_s)
        return Moment(f"{self._name} #{self._drawn}", after_bytes if by_bytes else None, after_s)
