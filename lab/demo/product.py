"""``make demo-airflow``: two simulated oVirt sites and a real Airflow; a VM is backed up, changed, restored, rehearsed.

With DEMO_EXIT=1 it ends when all is shown; else Airflow's UI stays open until Ctrl-C.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.airflow.installation import Installation, add_vm, installation
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from vmferry.engine.units import MiB, format_bytes, format_seconds

VM = "web01"
DAG = f"backup_{VM}"
_began = time.monotonic()


def main() -> int:
    """Tell the story."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say("starting two simulated oVirt sites (real qemu, real imageio) and a real Airflow on SQLite; a minute or two")
    with tempfile.TemporaryDirectory(prefix="vmferry-demo-") as directory, installation(Path(directory)) as made:
        show_addresses(made)
        equal = tell(made)
        if os.environ.get("DEMO_EXIT") != "1":
            show_addresses(made)
            say("Ctrl-C ends it")
            try:
                stop.wait()
            except KeyboardInterrupt:
                say("stopping")
    say("nothing is left running")
    return 0 if equal else 1


def tell(made: Installation) -> bool:
    """Run the DAGs; True when production, vault and DR have the same roots and bytes."""
    vm = add_vm(made.production, made.directory, VM)
    made.write_policy(vms_config={VM: {"schedule": {"type": "simple", "pattern": "daily", "time": "02:00"}}})
    say("the policy is rendered by its DAG: generate_complete_dynamic_dags")
    made.render()
    say("full backup")
    full = back_up(made)
    made.production.guest_write(vm.disks[0], 5 * MiB, b"the guest goes on writing " * 4000)
    made.production.guest_zero(vm.disks[1], 0, 2 * MiB)
    say("the guest wrote; incremental backup")
    incremental = back_up(made)
    say("restore at the DR site: each disk is read back and proven before the VM is made")
    run_id = made.run("restore_vm", {"vm": VM})
    restored = made.api.xcom("restore_vm", run_id, "create_vm")
    disks = made.api.all_xcoms("restore_vm", run_id, "restore_vm_disks")
    say("drill: restored without networks, measured, removed")
    measured = made.api.xcom("dr_drill", made.run("dr_drill", {"vm": VM}), "measure_drill")
    return show_result(made, vm, [full, incremental], restored, disks, measured)


def back_up(made: Installation) -> dict[str, Any]:
    """Make one backup."""
    found: dict[str, Any] = made.api.xcom(DAG, made.run(DAG), "publish")
    return found


def show_result(
    made: Installation,
    vm: LabVm,
    backups: Sequence[dict[str, Any]],
    restored: dict[str, Any],
    disks: Sequence[dict[str, Any]],
    measured: dict[str, Any],
) -> bool:
    """Print the tables; compare roots, and bytes past everything of ours."""
    for backup in backups:
        took = format_seconds(sum(disk["seconds"] for disk in backup["disks"]))
        sizes = f"read {format_bytes(backup['read_bytes'])}, stored {format_bytes(backup['written_bytes'])}"
        print(f"  {backup['backup']}: {backup['mode']}, {backup['consistency']}-consistent, {sizes}, {took}")
    roots = {disk["name"]: disk["root"] for disk in backups[-1]["disks"]}
    ids = {disk["name"]: disk["id"] for disk in disks}
    equal = True
    print(f"\n  {'DISK':<14}{'ROOT IN THE VAULT':<22}{'READ BACK AT DR':<22}{'BYTES AT PRODUCTION AND DR'}")
    for name, disk in zip(sorted(roots), vm.disks, strict=True):
        same = digest(made.production, disk, made) == digest(made.recovery, ids[name], made)
        equal = equal and same and roots[name] == restored["roots"][name]
        words = "equal" if same else "DIFFER"
        print(f"  {name:<14}{roots[name][:16]}…     {restored['roots'][name][:16]}…     {words}")
    print(f"\n  RTO {format_seconds(measured['rto_s'])}, RPO {format_seconds(measured['rpo_s'])} (of the drill)\n")
    return equal


def digest(lab: OvirtLab, disk: str, made: Installation) -> str:
    """Hash what a disk holds now."""
    path = made.directory / "witness.raw"
    lab.copy_disk(disk, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    return found


def show_addresses(made: Installation) -> None:
    """Say where to look."""
    say(f"Airflow: {made.api.url}  user admin, password {made.home.password}")
    for lab in (made.production, made.recovery):
        say(f"simulated engine {lab.name}: {lab.url}  user {lab.user}, password {lab.password_secret}")


def say(text: str) -> None:
    """Print with the time."""
    print(f"[{time.monotonic() - _began:5.0f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
