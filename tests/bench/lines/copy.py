"""The pump, with proof and flush, against nbdcopy without and with a separate SHA-256 pass; NBD to NBD.

The pass is by openssl, which uses the processor's SHA instructions as we do; sha256sum does not everywhere.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lab.nbd import serve
from tests.bench.contest import Contestant, compete, ratio
from tests.bench.disks import MiB, make_raw
from tests.bench.line import Bench, Outcome

SIZE, DATA = 4096 * MiB, 1024 * MiB


def measure_copy(bench: Bench) -> list[Outcome]:
    """Copy 1 GiB of data in a disk of 4 GiB from one qemu-nbd to another."""
    source = make_raw(bench.room / "source.raw", SIZE, DATA)
    with ExitStack() as open_things:
        origin = open_things.enter_context(serve(source, socket_path=bench.room / "s.sock", read_only=True))
        targets = [_Target(bench.room / f"t{number}.raw", open_things) for number in range(3)]
        ours = Contestant(
            "vmferry",
            lambda: [bench.vmferry("disk", "copy", origin.url, targets[0].url, "--proof", str(bench.room / "proof"))],
            targets[0].empty,
        )
        plain = Contestant("nbdcopy", lambda: [["nbdcopy", "--flush", origin.url, targets[1].url]], targets[1].empty)
        hashed = Contestant(
            "nbdcopy+sha256 pass",
            lambda: [
                ["nbdcopy", "--flush", origin.url, targets[2].url],
                ["openssl", "dgst", "-sha256", str(targets[2].path)],
            ],
            targets[2].empty,
        )
        compete([ours, plain, hashed], bench.rounds, bench.tell)
    peak = max(one.rss_bytes for one in ours.samples)
    return [
        Outcome("copy with proof and flush / nbdcopy --flush", ratio(ours, plain), 1.25, detail=_times(ours, plain)),
        Outcome(
            "copy with proof / nbdcopy, then a SHA-256 pass", ratio(ours, hashed), 0.9, detail=_times(ours, hashed)
        ),
        Outcome("engine memory of that copy, MiB", peak / MiB, 150),
    ]


class _Target:
    """A raw disk behind its own qemu-nbd, empty at the start of every run."""

    def __init__(self, path: Path, open_things: ExitStack) -> None:
        self.path = path
        self._truncate()
        self.url = open_things.enter_context(serve(path, socket_path=path.with_suffix(".sock"))).url

    def empty(self) -> None:
        """Punch everything out; the server goes on."""
        self._truncate()

    def _truncate(self) -> None:
        with self.path.open("wb") as file:
            file.truncate(SIZE)


def _times(*contestants: Contestant) -> str:
    return ", ".join(f"{one.name} {one.median():.2f} s" for one in contestants)
