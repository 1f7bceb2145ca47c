"""The whole story: a policy becomes DAGs, a VM is backed up while its guest writes, its site dies, it lives on at DR.

Two simulated oVirt sites over real qemu and real ovirt-imageio, a real Airflow on SQLite, real file systems.
With DEMO_EXIT=1 it ends when all is shown; else Airflow's UI stays open until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.airflow.installation import Installation, told_installation, write_policy
from lab.demo import estate
from lab.demo.frozen import FrozenWitness
from lab.demo.restored import check_disks
from lab.demo.runs import describe_length, first_run, run_dag, watch_dag
from lab.demo.teller import Teller
from lab.ovirt import OvirtLab
from lab.ovirt.guest import FrozenMoment, LabGuest
from vmferry.engine.units import format_bytes, format_seconds

VM = "web01"
BACKUP = f"backup_{VM}"
RENDERER = "generate_complete_dynamic_dags"
# The scheduler of a small demo may look around more often.
SPEEDY = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3"}


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, and what was seen without vmferry at the same moment."""

    summary: dict[str, Any]
    took: str
    moment: FrozenMoment
    witnessed: Sequence[str]
    """Per disk: the root of what the guest held."""

    @property
    def roots(self) -> dict[str, str]:
        """Per disk: the root that the vault has."""
        return {disk["name"]: disk["root"] for disk in self.summary["disks"]}


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored VM."""

    up_after_s: float
    disks: dict[str, str]
    """Ids at the DR site, by name."""
    read_back: dict[str, str]
    """Roots that the restore itself read back."""


def main(room: Path) -> int:
    """Tell it; exits with 1 as soon as something does not hold."""
    teller, guests = Teller(room), {}

    def prepare(production: OvirtLab, recovery: OvirtLab) -> None:
        guests.update(estate.add_vms(production, room / "guests"))
        # Before Airflow is up: the DAG that renders it runs as soon as it is switched on.
        write_policy(room / "variables.json", production, recovery, room / "vault", vms_config=estate.POLICY)
        teller.say(f"two simulated oVirt sites are up; production runs {', '.join(guests)}")

    teller.chapter("1. Two sites and an Airflow start")
    teller.say("Simulated: the oVirt engines. Real: qemu, ovirt-imageio, the file systems, Airflow (on SQLite).")
    with told_installation(room, SPEEDY, prepare=prepare, tell=teller.say) as made:
        show_addresses(teller, made)
        tell(teller, made, guests[VM])
        show_ui(teller, made)
        if os.environ.get("DEMO_EXIT") != "1":
            teller.say("It stays open for you to look around. Ctrl-C ends and removes all of it.")
            threading.Event().wait()
    teller.end()
    return 0


def tell(teller: Teller, made: Installation, guest: LabGuest) -> None:
    """Run the DAGs, from the policy to the drill."""
    teller.chapter("2. The policy becomes DAGs")
    teller.say(f"the policy is {made.policy_file}; the DAG that renders it runs by its schedule")
    watch_dag(teller, made.api, RENDERER, first_run(made.api, RENDERER))
    teller.say(f"rendered and switched on: {', '.join(made.switch_on_rendered())}")
    teller.chapter(f"3. Two backups of {VM}, whose guest never stops writing")
    with contextlib.closing(FrozenWitness(guest, made.directory / "witness")) as witness, guest.writing():
        backups = [back_up(teller, made, guest, witness) for _ in range(2)]
    teller.chapter("4. Production is gone")
    guest.close()
    made.production.lose_power()
    lost_at = time.time()
    teller.say("kill -9: the engine, the host, all VMs, imageio. What is left is the vault, and the other site.")
    teller.chapter(f"5. {VM} comes back at the DR site")
    restored = restore(teller, made)
    teller.chapter("6. A drill runs, and witnesses look at what was restored")
    drill = made.api.trigger("dr_drill", {"vm": VM})
    disks = [restored.disks[name] for name in backups[-1].roots]
    found = check_disks(teller, made.recovery, made.directory / "restored", guest, disks, backups[-1].moment)
    watch_dag(teller, made.api, "dr_drill", drill)
    measured = made.api.xcom("dr_drill", drill, "measure_drill")
    teller.chapter("7. What it comes to")
    show_backups(teller, backups)
    teller.say(
        f"RPO {format_seconds(lost_at - backups[-1].moment.at)}: the disaster came so long after the last backup froze"
    )
    teller.say(f"RTO {format_seconds(restored.up_after_s)}: from the click on restore until {VM} was up at DR")
    teller.say(f"the drill says RTO {format_seconds(measured['rto_s'])}, RPO {format_seconds(measured['rpo_s'])}")
    show_roots(teller, backups, restored, found)


def back_up(teller: Teller, made: Installation, guest: LabGuest, witness: FrozenWitness) -> Backup:
    """Make one backup."""
    before = guest.written.bytes
    run_id = run_dag(teller, made.api, BACKUP)
    summary = made.api.xcom(BACKUP, run_id, "publish")
    teller.say(f"meanwhile the guest wrote {format_bytes(guest.written.bytes - before)}")
    return Backup(summary, describe_length(made.api, BACKUP, run_id), guest.moments[-1], witness.last_roots())


def restore(teller: Teller, made: Installation) -> Restored:
    """Restore the VM at the DR site and start it."""
    began = time.time()
    run_id = run_dag(teller, made.api, "restore_vm", {"vm": VM, "name": VM, "start": "yes"})
    # What comes after that task only looks whether something is to be given back.
    up_at = made.api.task_end("restore_vm", run_id, "create_vm").timestamp()
    disks = made.api.all_xcoms("restore_vm", run_id, "restore_vm_disks")
    read_back = made.api.xcom("restore_vm", run_id, "create_vm")["roots"]
    statuses = {one["name"]: one["status"] for one in made.recovery.state()["vms"].values()}
    teller.check(statuses == {VM: "up"}, f"the simulated engine at DR says that {VM} is up")
    return Restored(up_at - began, {disk["name"]: disk["id"] for disk in disks}, read_back)


def show_backups(teller: Teller, backups: Sequence[Backup]) -> None:
    """Print what was read and stored."""
    teller.say(f"{'BACKUP':<42} {'GUEST':<24} {'READ':>10} {'STORED':>10} {'RUN':>10}")
    for one in backups:
        said, kept = one.summary, f"{one.summary['consistency']}-consistent"
        sizes = f"{format_bytes(said['read_bytes']):>10} {format_bytes(said['written_bytes']):>10}"
        teller.say(f"{said['backup']:<42} {kept:<24} {sizes} {one.took:>10}")


def show_roots(teller: Teller, backups: Sequence[Backup], restored: Restored, found: Sequence[str]) -> None:
    """Print the roots and compare them."""
    columns = ("PRODUCTION, FROZEN", "VAULT", "DR, READ BACK", "DR, WITNESS")
    teller.say(f"{'ROOTS':<26}{''.join(f'{one:<20}' for one in columns)}")
    equal = True
    for backup in backups:
        last = backup is backups[-1]
        for number, (name, root) in enumerate(backup.roots.items()):
            row = [backup.witnessed[number], root]
            row += [restored.read_back[name], found[number]] if last else []
            equal = equal and len(set(row)) == 1
            cells = "".join(f"{cell:<20}" for cell in [*(one[:16] for one in row), *["-"] * (4 - len(row))])
            word = "equal" if len(set(row)) == 1 else "DIFFER"
            teller.say(f"{name + ', ' + backup.summary['mode']:<26}{cells}{word}")
    teller.check(equal, "production's frozen moments, the vault and the disks at DR have equal roots")


def show_addresses(teller: Teller, made: Installation) -> None:
    """Say where to look."""
    for line in (*estate.describe_engine(made.production), *estate.describe_engine(made.recovery)):
        teller.say(line)
    show_ui(teller, made)


def show_ui(teller: Teller, made: Installation) -> None:
    """Say where Airflow is."""
    teller.say(f"Airflow's UI: {made.api.url}   user admin   password {made.home.password}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
