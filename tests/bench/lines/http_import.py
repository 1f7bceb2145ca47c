"""An import from an HTTP object onto a block device against download, then convert."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

from lab.http import serve_directory
from tests.bench.contest import Contestant, compete, ratio
from tests.bench.disks import MiB, make_raw
from tests.bench.line import Bench, Outcome

from vmferry.engine.filesystems.loop import loop_device

SIZE, DATA = 2048 * MiB, 512 * MiB
RATE = 60_000_000
"""Bytes a second one connection gets, as from an object storage."""


def measure_http_import(bench: Bench) -> list[Outcome]:
    """Import a qcow2 object with 512 MiB of data; one connection gets 60 MB/s."""
    raw, served = make_raw(bench.room / "source.raw", SIZE, DATA), bench.room / "served"
    served.mkdir()
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(served / "disk.qcow2")], check=True
    )
    disk, download = bench.room / "disk.img", bench.room / "download.qcow2"
    with ExitStack() as stack, disk.open("w+b") as file:
        file.truncate(SIZE)
        device = stack.enter_context(loop_device(file.fileno(), 0, SIZE, writable=True))
        url = stack.enter_context(serve_directory(served, rate_bytes_per_s=RATE))
        ours = Contestant("vmferry", lambda: [bench.vmferry("disk", "copy", f"{url}/disk.qcow2", str(device))])
        classic = Contestant(
            "download+convert",
            lambda: [
                ["curl", "-sSf", "-o", str(download), f"{url}/disk.qcow2"],
                ["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "host_device", str(download), str(device)],
            ],
            lambda: download.unlink(missing_ok=True),
        )
        compete([ours, classic], bench.rounds, bench.tell)
    detail = f"straight {ours.median():.2f} s, download+convert {classic.median():.2f} s, no temporary bytes"
    return [Outcome("download, then convert / import from HTTP", ratio(classic, ours), 2.5, True, detail)]
