"""``make lab``: two simulated oVirt sites with VMs at work, for your own Airflow, for ovirt-img, for the CLI."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from lab.airflow.airflow_home import ROOT, describe_bundles
from lab.airflow.installation import SITES, describe_connection, write_policy
from lab.demo import estate
from lab.ovirt import OvirtLab
from lab.ovirt.guest import LabGuest
from vmferry.engine.units import format_bytes

_TELL_EVERY_S = 60.0


def main(room: Path, place: Path) -> int:
    """Start it, say where all is, and let the guests write until somebody ends it; `place` leads to the room."""
    say("starting two simulated oVirt sites")
    with contextlib.ExitStack() as stack:
        production = stack.enter_context(OvirtLab(room / "prod", "prod"))
        recovery = stack.enter_context(OvirtLab(room / "dr", "dr"))
        say("making VMs with real file systems")
        guests = estate.add_vms(production, room / "guests")
        write_papers(place, production, recovery)
        tell(place, production, recovery, guests)
        for guest in guests.values():
            stack.enter_context(guest.writing())
        while True:
            time.sleep(_TELL_EVERY_S)
            written = format_bytes(sum(guest.written.bytes for guest in guests.values()))
            freezes = sum(len(guest.moments) for guest in guests.values())
            say(f"{time.strftime('%H:%M')}  the guests wrote {written} so far, and were frozen {freezes} times")


def write_papers(place: Path, production: OvirtLab, recovery: OvirtLab) -> None:
    """Write what others need to reach the sites; what has a password is for its owner only."""
    for name in ("rendered", "vault", "config"):
        (place / name).mkdir()
    policy = place / "variables.json"
    write_policy(policy, production, recovery, place / "vault", vms_config=estate.POLICY)
    labs = dict(zip(SITES, (production, recovery), strict=True))
    named = {f"AIRFLOW_CONN_VMFERRY_{site.upper()}": json.dumps(describe_connection(lab)) for site, lab in labs.items()}
    named |= {
        "AIRFLOW__VMFERRY__POLICY_FILE": str(policy),
        "AIRFLOW__VMFERRY__RENDERED_DAGS": str(place / "rendered"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": describe_bundles(
            {"vmferry": ROOT / "dags", "vms": place / "rendered"}
        ),
    }
    write_private(place / "airflow.env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in named.items()))
    write_private(place / "config" / "ovirt-img.conf", "".join(map(describe_for_ovirt_img, labs.values())))


def describe_for_ovirt_img(lab: OvirtLab) -> str:
    """Give a section of the settings of oVirt's own ovirt-img."""
    return (
        f"[{lab.name}]\nengine_url = {lab.address}\nusername = {lab.user}\n"
        f"password = {lab.password_secret}\ncafile = {lab.ca}\n"
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)


def tell(place: Path, production: OvirtLab, recovery: OvirtLab, guests: Mapping[str, LabGuest]) -> None:
    """Say where all is."""
    print()
    for line in (*estate.describe_engine(production), *estate.describe_engine(recovery)):
        say(line)
    for guest in guests.values():
        disks = ", ".join(f"{volume.kind} {disk}" for volume, disk in zip(guest.volumes, guest.vm.disks, strict=True))
        say(f"VM {guest.name:<8} at {production.name}, its guest writes all the time: {disks}")
    say(f"policy           {place / 'variables.json'}")
    say(f"for an Airflow   {place / 'airflow.env'}   (connections, policy_file, rendered_dags)")
    say(f"for ovirt-img    XDG_CONFIG_HOME={place / 'config'}")
    say("What to do with it is in docs/lab.md. Ctrl-C ends it and removes all of it, the vault too.")
    print(flush=True)


def say(text: str) -> None:
    """Print a line."""
    print(f"lab: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
