"""An import at OCI's rate of a connection against the ancestor's way: ten connections to a file, then convert.

No disk is slowed down. On a real worker the boot volume that takes the file and the volume that is written both have
limits that depend on their sizes; a model that has only one of them would flatter one side.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from lab.http import serve_directory
from tests.bench.contest import Contestant, Step, compete, ratio
from tests.bench.disks import MiB, make_raw
from tests.bench.line import Bench, Outcome

from vmferry.engine.filesystems.loop import loop_device

SIZE, DATA = 2048 * MiB, 512 * MiB
RATE = 60_000_000
"""Bytes a second one connection gets from the object storage."""


def measure_oci_import(bench: Bench) -> list[Outcome]:
    """Import a qcow2 object of 512 MiB of data in a disk of 2 GiB."""
    raw, served = make_raw(bench.room / "source.raw", SIZE, DATA), bench.room / "served"
    served.mkdir()
    image, disk, download = served / "disk.qcow2", bench.room / "disk.img", bench.room / "download.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    with ExitStack() as stack, disk.open("w+b") as file:
        file.truncate(SIZE)
        device = str(stack.enter_context(loop_device(file.fileno(), 0, SIZE, writable=True)))
        url = stack.enter_context(serve_directory(served, rate_bytes_per_s=RATE)) + "/disk.qcow2"

        fetch: Step = [sys.executable, "-m", "tests.bench.lines.ranges", url, str(download)]
        convert: Step = ["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "host_device", str(download), device]
        ours = Contestant("vmferry", lambda: [bench.vmferry("disk", "copy", url, device)])
        classic = Contestant(
            "parallel download+convert", lambda: [fetch, convert, ["sync"]], lambda: download.unlink(missing_ok=True)
        )
        compete([ours, classic], bench.rounds, bench.tell)
    detail = f"straight {ours.median():.2f} s with proof, no temporary bytes; the other {classic.median():.2f} s"
    return [Outcome("parallel download, then convert / import from OCI", ratio(classic, ours), 2.5, True, detail)]
