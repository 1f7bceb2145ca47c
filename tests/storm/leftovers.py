"""What is left when all has ended: at both sites, in the vault, and on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from lab.airflow.airflow_home import PARTS, AirflowHome
from lab.airflow.installation import Installation, wait_until
from lab.ovirt import OvirtLab
from tests.storm.processes import below, list_processes, naming

from vmferry.platforms.ovirt.disks import VERIFIED

KINDS = ("open_backups", "open_transfers", "locked_disks", "illegal_disks", "snapshots")


def list_leftovers(installed: Installation, unfinished: list[str]) -> list[str]:
    """Name everything that nobody owes anything any more and that is still there. Proven disks are told apart."""
    found = [f"vault: unfinished backup {name}" for name in unfinished]
    for lab in (installed.production, installed.recovery):
        found += [f"{lab.name}: {what}" for what in _at_site(lab, lab.state())]
    return [*found, *list_orphans(installed.home)]


def list_orphans(home: AirflowHome) -> list[str]:
    """Name the processes of Airflow's that no part of it has below itself."""
    with contextlib.suppress(TimeoutError):  # what is being ended needs a moment; what stays is named
        wait_until(lambda: not _orphans(home), "orphans to go", timeout_s=30)
    return _orphans(home)


def proven_disks(lab: OvirtLab) -> list[str]:
    """Name the disks that belong to no VM and whose bytes are proven: only a person removes them."""
    return [disk["name"] for disk in _floating(lab.state()) if VERIFIED in disk["description"].split()]


def _at_site(lab: OvirtLab, state: dict[str, Any]) -> Iterator[str]:
    for kind in KINDS:
        for one in state[kind]:
            yield f"{kind} {one}"
    for disk in _floating(state):
        if VERIFIED not in disk["description"].split():
            yield f"half disk {disk['name']} ({disk['description']})"
    for vm in state["vms"].values():
        if "_drill_" in vm["name"] or ".vmferry-" in vm["name"]:
            yield f"VM {vm['name']}"
    for name in lab.process_ids:
        if not name.startswith("vm-"):
            yield f"process {name}"


def _floating(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [state["disks"][disk] for disk in state["floating_disks"]]


def _orphans(home: AirflowHome) -> list[str]:
    named = list(naming(home.home))
    leashes = [home.part_pid(part) for part in PARTS]
    kept = {*leashes, *(one.pid for one in below(leashes, list_processes()))}
    alive = {one.pid for one in list_processes()}
    return [f"process {one.pid} {one.command[:120]}" for one in named if one.pid in alive - kept]
