"""An import at OCI's rate of a connection against the ancestor's way: ten connections to a file, then convert.

The file lies on the worker's boot volume, and that is what the ancestor waits for: 50 GiB of the balanced kind take
24 MB/s by OCI's price list (480 kB/s for each GiB). This rate is simulated; what convert reads of the file comes from
memory. The second line is for a worker whose disk is as fast as its memory, where storing costs nothing.
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
BOOT_VOLUME_RATE = 24_000_000


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

        def classic(name: str, *rate: str) -> Contestant:
            fetch: Step = [sys.executable, "-m", "tests.bench.lines.ranges", url, str(download), *rate]
            convert: Step = ["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "host_device", str(download), device]
            return Contestant(name, lambda: [fetch, convert, ["sync"]], lambda: download.unlink(missing_ok=True))

        ours = Contestant("vmferry", lambda: [bench.vmferry("disk", "copy", url, device)])
        stored = classic("by the boot volume", str(BOOT_VOLUME_RATE))
        cached = classic("by memory")
        compete([ours, stored, cached], bench.rounds, bench.tell)
    detail = f"straight {ours.median():.2f} s with proof, no temporary bytes; parallel download+convert"
    what = "parallel download, then convert / import from OCI"
    return [
        Outcome(what, ratio(stored, ours), 2.5, True, f"{detail} {stored.median():.2f} s, boot volume of 24 MB/s"),
        Outcome(f"{what}, in memory", ratio(cached, ours), 1.0, True, f"{detail} {cached.median():.2f} s, in memory"),
    ]
