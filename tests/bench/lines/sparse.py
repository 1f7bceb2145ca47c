"""1 GiB of data in a disk of 1 TiB against the same data in a disk of 4 GiB."""

from __future__ import annotations

from pathlib import Path

from tests.bench.contest import Contestant, compete, ratio
from tests.bench.disks import MiB, make_raw
from tests.bench.line import Bench, Outcome

DATA = 1024 * MiB


def measure_sparse(bench: Bench) -> list[Outcome]:
    """Copy both, raw to raw."""
    small = make_raw(bench.room / "small.raw", 4096 * MiB, DATA)
    large = make_raw(bench.room / "large.raw", 1 << 40, DATA)
    contestants = [_copy(bench, large, "1 TiB"), _copy(bench, small, "4 GiB")]
    compete(contestants, bench.rounds, bench.tell)
    big, little = contestants
    peak = max(one.rss_bytes for one in big.samples)
    detail = f"1 TiB {big.median():.2f} s, 4 GiB {little.median():.2f} s"
    return [
        Outcome("1 TiB sparse / 4 GiB, the same 1 GiB of data", ratio(big, little), 1.5, detail=detail),
        Outcome("engine memory for 1 TiB, MiB", peak / MiB, 150),
    ]


def _copy(bench: Bench, source: Path, name: str) -> Contestant:
    target = source.with_suffix(".copy")
    command = bench.vmferry("disk", "copy", str(source), f"raw:{target}")
    return Contestant(name, lambda: [command], lambda: target.unlink(missing_ok=True))
