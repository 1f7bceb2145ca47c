"""A restore straight from the head of a chain against copy, rebase, commit and compress."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contest import Contestant, compete, ratio
from tests.bench.disks import MiB, change_share, make_raw
from tests.bench.line import Bench, Outcome

DATA = 512 * MiB
INCREMENTALS = 10


def measure_restore(bench: Bench) -> list[Outcome]:
    """Restore 1 full and 10 incremental backups, 5 % changed each, into a raw disk."""
    raw, vault = make_raw(bench.room / "source.raw", 2048 * MiB, DATA), bench.room / "vault"
    for number in range(INCREMENTALS + 1):
        if number:
            change_share(raw, 0.05, DATA, seed=number)
        flags = ["--incremental"] if number else []
        subprocess.run(
            bench.vmferry("vault", "add", str(vault), "vm", f"root={raw}", *flags), check=True, capture_output=True
        )
    target, scratch = bench.room / "target.raw", bench.room / "scratch"
    ours = Contestant(
        "vmferry",
        lambda: [bench.vmferry("vault", "restore", str(vault), "vm", f"root={target}")],
        lambda: _remove(target),
    )
    classic = Contestant(
        "copy+rebase+commit+compress", lambda: _classic(vault, scratch, target), lambda: _remove(scratch, target)
    )
    compete([ours, classic], bench.rounds, bench.tell)
    detail = f"straight {ours.median():.2f} s, copy+rebase+commit+compress {classic.median():.2f} s, no temporary bytes"
    return [Outcome("copy+rebase+commit+compress / restore from the head", ratio(classic, ours), 5, True, detail)]


def _classic(vault: Path, scratch: Path, target: Path) -> Sequence[Sequence[str]]:
    """What scripts do: copy the chain, commit it together layer by layer, compress it, and write that."""
    layers = sorted(vault.glob("vm/*/root.qcow2"), key=lambda path: path.parent.name.split("_")[1])
    scratch.mkdir()
    copies = [scratch / f"{number}.qcow2" for number in range(len(layers))]
    steps: list[Sequence[str]] = [["cp", str(layer), str(copy)] for layer, copy in zip(layers, copies, strict=True)]
    for below, above in itertools.pairwise(copies):
        steps.append(["qemu-img", "rebase", "-q", "-u", "-F", "qcow2", "-b", str(below), str(above)])
    steps += [["qemu-img", "commit", "-q", "-f", "qcow2", str(copy)] for copy in reversed(copies[1:])]
    packed = scratch / "packed.qcow2"
    steps.append(["qemu-img", "convert", "-q", "-c", "-f", "qcow2", "-O", "qcow2", str(copies[0]), str(packed)])
    steps.append(["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", str(packed), str(target)])
    return steps


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
