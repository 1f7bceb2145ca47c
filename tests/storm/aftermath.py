"""What has to hold when the storm is over."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.storm.lanes import Run
from tests.storm.leftovers import list_leftovers, proven_disks
from tests.storm.reasons import Reason, find_reasons
from tests.storm.storm import Storm, summarize
from tests.storm.traffic import too_much
from tests.storm.works import RESTORE

from vmferry.vault import Backup, open_vault, verify

AGAIN_S = 1200.0


def look_after(storm: Storm, failed: list[Run]) -> None:
    """Run again what failed, sweep, and look at all there is."""
    storm.installed.api.log_in()
    reasons = {str(run): find_reasons(storm.api, run) for run in failed}
    again = storm.works.again(failed, AGAIN_S)
    storm.installed.api.switch_on("janitor")
    swept = storm.installed.run("janitor")
    leftovers = list_leftovers(storm.installed, storm.ledger.unfinished())
    proven = proven_disks(storm.installed.recovery)
    ways, killed = storm.traffic.ways(), [kill.at for kill in storm.kills]
    said = {run: [str(one) for one in found] for run, found in reasons.items()}
    print(summarize(storm, again, said, leftovers), flush=True)
    print(f"  proven disks of failed restores, which wait for a person: {proven or 'none'}", flush=True)
    repeated = sorted(ways, key=lambda way: way.repeated_bytes, reverse=True)[:3]
    print(
        f"  moved again, of {len(ways)} copies, by imageio's logs, at most: {', '.join(map(str, repeated))}", flush=True
    )
    print(f"  janitor: {storm.installed.api.xcom('janitor', swept, 'sweep')}", flush=True)
    problems = [
        *unclear_reasons(reasons),
        *(f"{run} failed again" for run in again if run.state != "success"),
        *(f"left over: {one}" for one in leftovers),
        *(f"moved again: {one}" for one in too_much(ways, killed)),
        *(f"lost: {one}" for one in storm.ledger.lost()),
    ]
    assert not problems, "\n".join(problems)
    require_moments(storm)


def unclear_reasons(reasons: dict[str, list[Reason]]) -> list[str]:
    """Name the runs that failed and do not say why, or not what to do."""
    silent = [f"{run} says nothing" for run, said in reasons.items() if not said]
    return silent + [f"{run} is unclear: {one}" for run, said in reasons.items() for one in said if not one.is_clear]


def require_moments(storm: Storm) -> None:
    """Each backup, and each restored VM, holds a moment that the guest's disks had, all disks the same one."""
    compared = 0
    vault = open_vault(storm.installed.vault)
    for vm in storm.names:
        report = verify(vault, vm)
        assert report.sound, [finding.line() for one in report.backups for finding in one.findings]
        for backup in storm.ledger.backups(vm):
            require_moment(storm, vm, read_backup(storm, vm, backup), backup.id)
            compared += 1
    for run in storm.works.runs:
        if run.dag_id == RESTORE and run.state == "success":
            require_moment(storm, run.vm, read_restored(storm, run), f"{run}: {run.conf['name']}")
            compared += 1
    print(f"  backups and restored VMs that hold one moment of their guest: {compared}", flush=True)


def require_moment(storm: Storm, vm: str, copies: list[Path], name: str) -> None:
    """Compare copies of all disks with what the guest remembers."""
    guest = storm.guests[vm]
    moment = guest.read_moment(copies)
    found = []
    for path in copies:
        found.append(hashlib.sha256(path.read_bytes()).hexdigest())
        path.unlink()
    assert found == guest.digests_at(moment), f"{name} is not what the guest held after {moment} writes"


def read_backup(storm: Storm, vm: str, backup: Backup) -> list[Path]:
    """Copy a backup's disks with qemu-img alone."""
    copies = []
    for disk in storm.guests[vm].vm.disks:
        (one,) = [found for found in backup.disks if found.id == disk]
        copies.append(storm.installed.directory / f"witness-{one.name}.raw")
        image = storm.ledger.vm_dir(vm) / backup.id / one.image.name
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(copies[-1])], check=True)
    return copies


def read_restored(storm: Storm, run: Run) -> list[Path]:
    """Copy a restored VM's disks, past everything of ours."""
    (backup,) = [one for one in storm.ledger.backups(run.vm) if one.id == run.conf["backup"]]
    names = {disk.id: disk.name for disk in backup.disks}
    made = storm.api.ask(lambda api: api.all_xcoms(run.dag_id, run.run_id, "restore_vm_disks"))
    ids = {one["name"]: one["id"] for one in made}
    copies = []
    for disk in storm.guests[run.vm].vm.disks:
        copies.append(storm.installed.directory / f"restored-{names[disk]}.raw")
        storm.installed.recovery.copy_disk(ids[names[disk]], copies[-1])
    return copies
