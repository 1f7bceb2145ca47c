"""The story of an upload: its event reaches the function, Airflow runs the import, a proven volume comes out.

A simulated Oracle Cloud whose instances are real sshd processes with real block devices; the real OCI SDK and fdk; a
real Airflow on SQLite. With DEMO_EXIT=1 it ends when all is shown; else Airflow's UI stays open until Ctrl-C.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lab.airflow.oci_installation import BUCKET, IMPORT, OciInstallation, oci_installation
from lab.demo.runs import watch_dag
from lab.demo.teller import Teller
from vmferry.engine.units import MiB, format_bytes

SIZE = 256 * MiB
NAME = "vms/web01.qcow2"
_FOUND_S = 120.0


def main(room: Path) -> int:
    """Tell it; exits with 1 as soon as something does not hold."""
    teller = Teller(room)
    teller.chapter("1. A simulated Oracle Cloud, an Airflow and the function start")
    teller.say("Simulated: OCI's API. Real: the OCI SDK, the function under fdk, sshd, block devices, qemu, Airflow.")
    with oci_installation(room, tell=teller.say) as made:
        teller.say(f"Airflow: {made.api.url}  user admin, password {made.home.password}")
        tell(teller, made)
        if os.environ.get("DEMO_EXIT") != "1":
            teller.say(f"Airflow: {made.api.url}  user admin, password {made.home.password}")
            teller.say("It stays open for you to look around. Ctrl-C ends and removes all of it.")
            threading.Event().wait()
    teller.end()
    return 0


def tell(teller: Teller, made: OciInstallation) -> None:
    """Upload, watch, look."""
    teller.chapter("2. Somebody uploads a disk image")
    disk = make_disk(made.directory)
    image = made.directory / "web01.qcow2"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(disk), str(image)]
    subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
    teller.say(
        f"{NAME}: qcow2, {format_bytes(image.stat().st_size)} for a disk of {format_bytes(SIZE)} with ext4 on it"
    )
    began = time.monotonic()
    etag = made.upload(NAME, image, ad_number="2", team="web", backup_policy="silver")
    teller.chapter("3. The bucket's event, the function, Airflow")
    run = await_run(made)
    teller.say(f"the function started {run}")
    watch_dag(teller, made.api, IMPORT, run)
    teller.chapter("4. What came out, seen by a witness")
    show(teller, made, made.api.xcom(IMPORT, run, "publish"), disk, etag)
    teller.say(f"from the upload to the proven volume: {time.monotonic() - began:.0f} s")
    teller.chapter("5. The same event once more")
    event = made.lab.events()[0]["event"]
    before = len(made.api.list_runs(IMPORT))
    status, answer = made.function.call(json.dumps(event).encode())
    teller.say(answer)
    teller.check(status == 200 and len(made.api.list_runs(IMPORT)) == before, "a second event starts no second run")


def show(teller: Teller, made: OciInstallation, done: dict[str, Any], disk: Path, etag: str) -> None:
    """Compare bytes, tags and what is left."""
    volume = made.lab.state()["volume"][done["volume"]]
    tags = volume["freeformTags"]
    with made.lab.volume_path(done["volume"]).open("rb") as opened:
        same = hashlib.sha256(opened.read(SIZE)).digest() == hashlib.sha256(disk.read_bytes()).digest()
    teller.say(f"volume {done['name']}: {done['size_gb']} GB, {done['vpus_per_gb']} VPU, {done['availability_domain']}")
    teller.check(same, "the volume holds, byte for byte, the disk in the image")
    teller.check(tags["vmferry-root"] == done["root"], f"its root {done['root'][:16]}… is in its tags")
    teller.check(
        (tags["team"], tags["vmferry-etag"]) == ("web", etag), "the object's metadata and version are tags too"
    )
    teller.check(done["file_systems"] == "clean", "its file system was checked and is clean")
    teller.check(done["availability_domain"].endswith("AD-2"), "it is in the availability domain that was asked for")
    living = [one for one in made.lab.state()["instance"].values() if one["lifecycleState"] != "TERMINATED"]
    attached = [one for one in made.lab.state()["volumeattachment"].values() if one["lifecycleState"] != "DETACHED"]
    volumes = [one for one in made.lab.state()["volume"].values() if one["lifecycleState"] != "TERMINATED"]
    teller.check((living, attached, len(volumes)) == ([], [], 1), "no worker, no attachment, no other volume is left")


def await_run(made: OciInstallation) -> str:
    """Wait until Airflow has a run."""
    deadline = time.monotonic() + _FOUND_S
    while time.monotonic() < deadline:
        runs = made.api.list_runs(IMPORT)
        if runs:
            return runs[-1]
        time.sleep(0.3)
    raise TimeoutError(f"no run of {IMPORT} after an upload to {BUCKET}: {made.function.log_file.read_text()[-1500:]}")


def make_disk(directory: Path) -> Path:
    """Make a disk with a file system and files on it."""
    files = directory / "files"
    files.mkdir()
    dice = random.Random(7)
    for number in range(24):
        (files / f"file{number:02}").write_bytes(dice.randbytes(dice.randrange(MiB, 4 * MiB)))
    disk = directory / "disk.raw"
    with disk.open("wb") as made:
        made.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(files), str(disk)], check=True, stdin=subprocess.DEVNULL)
    return disk


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
