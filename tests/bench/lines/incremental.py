"""An incremental backup by dirty bitmap against the full one it stands on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.bench.contest import Contestant, compete, ratio
from tests.bench.disks import MiB, change_share, make_raw
from tests.bench.line import Bench, Outcome

DATA = 1024 * MiB


def measure_incremental(bench: Bench) -> list[Outcome]:
    """Back up 1 GiB of data in full, and 5 % of it that changed."""
    raw = make_raw(bench.room / "source.raw", 4096 * MiB, DATA)
    before, after = bench.room / "before.qcow2", bench.room / "after.qcow2"
    _qemu_img("convert", "-f", "raw", "-O", "qcow2", str(raw), str(before))
    shutil.copy(before, after)
    _qemu_img("bitmap", "--add", "-g", "65536", str(after), "daily")
    _write_changes(after, raw)
    _qemu_img("bitmap", "--disable", str(after), "daily")
    chained, alone = bench.room / "chained", bench.room / "alone"
    subprocess.run(bench.vmferry("vault", "add", str(chained), "vm", f"root={before}"), check=True, capture_output=True)
    full = Contestant(
        "full",
        lambda: [bench.vmferry("vault", "add", str(alone), "vm", f"root={after}")],
        lambda: _forget(alone, "full"),
    )
    incremental = Contestant(
        "incremental",
        lambda: [
            bench.vmferry("vault", "add", str(chained), "vm", f"root={after}", "--incremental", "--dirty", "daily")
        ],
        lambda: _forget(chained, "incremental"),
    )
    compete([incremental, full], bench.rounds, bench.tell)
    detail = f"incremental {incremental.median():.2f} s, full {full.median():.2f} s"
    return [Outcome("incremental of 5 % / full", ratio(incremental, full), 0.1, detail=detail)]


def _write_changes(image: Path, raw: Path) -> None:
    """Change the raw disk, and write what is there now into the qcow2 through qemu, which marks it dirty."""
    changes = change_share(raw, 0.05, DATA, seed=5)
    script = ""
    for offset, length in changes:
        with raw.open("rb") as file:
            file.seek(offset)
            piece = raw.with_name(f"noise{offset}")
            piece.write_bytes(file.read(length))
        script += f"write -q -s {piece} {offset} {length}\n"
    subprocess.run(["qemu-io", "-f", "qcow2", str(image)], input=script.encode(), check=True, capture_output=True)


def _forget(vault: Path, mode: str) -> None:
    for backup in vault.glob(f"vm/*_{mode}"):
        shutil.rmtree(backup)


def _qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)
