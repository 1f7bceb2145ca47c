"""Runs contestants against each other fairly: in turn, each first in its share of the rounds, judged by medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Step = Sequence[str]


@dataclass(slots=True)
class Sample:
    """What one run cost."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    rss_bytes: int = 0


@dataclass(slots=True)
class Contestant:
    """One way to do the job: steps that run one after the other, each a whole process."""

    name: str
    steps: Callable[[], Sequence[Step]]
    prepare: Callable[[], None] = lambda: None
    """Brings everything back to the start; not timed."""
    samples: list[Sample] = field(default_factory=list)

    def run(self) -> Sample:
        """Run once, timed."""
        self.prepare()
        os.sync()
        total = Sample()
        for step in self.steps():
            _add(total, step)
        return total

    def median(self) -> float:
        """Give the median of the wall times."""
        return statistics.median(one.wall_s for one in self.samples)


def compete(contestants: Sequence[Contestant], rounds: int, tell: Callable[[str], None]) -> None:
    """Let all of them run `rounds` times; who begins a round changes, since a disk remembers who was there before."""
    for one in contestants:
        one.run()  # a warm-up, for the page cache and the interpreter's
    for number in range(rounds):
        shift = number % len(contestants)
        for one in [*contestants[shift:], *contestants[:shift]]:
            one.samples.append(one.run())
        times = ", ".join(f"{one.name} {one.samples[-1].wall_s:.2f} s" for one in contestants)
        tell(f"round {number + 1}: {times}")


def ratio(ours: Contestant, theirs: Contestant) -> float:
    """Give the median of the ratios round by round, so that a machine that changes its speed does not matter."""
    pairs = zip(ours.samples, theirs.samples, strict=True)
    return statistics.median(mine.wall_s / other.wall_s for mine, other in pairs)


def _add(total: Sample, step: Step) -> None:
    started = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(step, stdout=nowhere, stderr=subprocess.PIPE)
        assert process.stderr is not None
        error = process.stderr.read()
        process.stderr.close()
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(step)} failed ({process.returncode}): {error.decode(errors='replace')}")
    total.wall_s += time.monotonic() - started
    total.cpu_s += used.ru_utime + used.ru_stime
    total.rss_bytes = max(total.rss_bytes, used.ru_maxrss * 1024)
