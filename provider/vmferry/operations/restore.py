# SPDX-License-Identifier: Apache-2.0
"""The steps of a VM's restore: plan, make disks, upload each, read each back, make the VM, finish. And all in one go.

Bytes go straight from the head of the chain to the target. A disk counts only when its root, read back from the target,
is the backup's; only then a VM is made, and only then an old one may go.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vmferry.engine.endpoints import open_source
from vmferry.engine.endpoints.sized import Sized
from vmferry.engine.errors import EngineError, ProofMismatch, ShortRead
from vmferry.engine.pump import measure
from vmferry.operations.planning import derive_disk_id, plan_restore, read_document
from vmferry.operations.replacing import take_place
from vmferry.operations.tracing import moment_of
from vmferry.operations.values import Json, PlannedDisk, Restored, RestorePlan
from vmferry.operations.ways import over_ways
from vmferry.platforms.contract import Target
from vmferry.platforms.errors import IdTaken
from vmferry.platforms.orders import DiskPlace, DiskRef, DiskSpec, Removal, VmRef, VmSpec
from vmferry.platforms.plain import from_plain, to_plain
from vmferry.platforms.runs import RunId, is_tag_of
from vmferry.policy.vm import RestoreRule
from vmferry.vault import Pace, Vault, restore
from vmferry.vault.adding import PLAIN_PACE

__all__ = [
    "create_disks",
    "create_vm",
    "finish_restore",
    "plan_restore",
    "restore_vm",
    "roll_back",
    "upload_disk",
    "verify_disk",
]


def create_disks(target: Target, plan: RestorePlan) -> list[Json]:
    """Make the disks, empty. Gives a reference of each, for the steps that follow: what their ids are stands there."""
    return [to_plain(_create_disk(target, plan, disk)) for disk in plan.disks]


def upload_disk(
    target: Target, plan: RestorePlan, disk: Json, *, job_dir: Path | None = None, pace: Pace = PLAIN_PACE
) -> Json:
    """Upload a disk straight from its chain; goes on where an earlier try stopped, by the journal in `job_dir`."""
    reference = from_plain(DiskRef, disk)
    # Sealed: an earlier try wrote all of it and was stopped while it read it back.
    if target_state(target, plan, reference).sealed:
        return {"disk": reference.name, "written_bytes": 0, "resumed": True}
    where = job_dir or journal_dir(RunId(plan.run))
    name = f"VM {plan.vm!r}, disk {reference.name}"
    return over_ways(lambda: _upload_once(target, plan, reference, where, pace), name)


def verify_disk(target: Target, plan: RestorePlan, disk: Json, *, pace: Pace = PLAIN_PACE) -> Json:
    """Read a disk back from the target and compare its root with the backup's; gives the proven reference."""
    reference = from_plain(DiskRef, disk)
    known = target_state(target, plan, reference)
    if known.verified:
        return _plain(known)
    planned = plan.disk(reference.name)
    root = over_ways(lambda: _read_root(target, reference, planned, pace), f"VM {plan.vm!r}, disk {planned.name}")
    if root != planned.root:
        raise ProofMismatch(
            f"VM {plan.vm!r}, disk {planned.name}: what site {plan.site} gives back is NOT the backup"
            f" (root {root}, should be {planned.root}); the VM is not made",
            fix="restore again; if it happens again, suspect the target's storage",
        )
    return _plain(target.mark_verified(reference, root))


def create_vm(target: Target, plan: RestorePlan, disks: Sequence[Json]) -> Json:
    """Make the VM from its saved description, with the proven disks and its cards off (or as asked)."""
    references = [from_plain(DiskRef, disk) for disk in disks]
    plan = with_ids(plan, references)
    missing = {disk.name for disk in plan.disks} - {one.name for one in references if one.verified}
    if missing:
        raise ProofMismatch(
            f"VM {plan.vm!r}: disk {', '.join(sorted(missing))} is not proven; the VM is not made",
            fix="verify it first",
        )
    spec = VmSpec(
        name=plan.working_name,
        cluster=plan.ground.cluster,
        document=read_document(plan),
        clone=plan.clone or not target.is_vm_id_free(plan.source_vm_id),
        disks=tuple(DiskPlace(disk.id, disk.interface, disk.bootable, disk.name) for disk in plan.disks),
        networks=plan.networks,
        nics=plan.nics,
        connect=plan.connect,
    )
    return _plain(target.create_vm(spec, RunId(plan.run)))


def finish_restore(target: Target, plan: RestorePlan, vm: Json, *, wait_for_agent: bool = False) -> Restored:
    """Note that the VM is proven, let it take the place of the old one, start it where that is asked for."""
    made = target.mark_complete(from_plain(VmRef, vm), RunId(plan.run), moment_of(plan.backup))
    made, replaced = take_place(target, plan, made, wait_for_agent=wait_for_agent)
    drop_journals(RunId(plan.run))
    return Restored(
        vm=made.name, vm_id=made.id, site=plan.site, backup=plan.backup, status=made.status,
        roots={disk.name: disk.root for disk in plan.disks}, replaced=replaced,
    )  # fmt: skip


def roll_back(target: Target, plan: RestorePlan) -> Json:
    """Give back what an unfinished restore made. May be called twice; after a finished one it does nothing.

    Disks whose bytes are proven stay, and are told.
    """
    run = RunId(plan.run)
    drop_journals(run)  # what they say was written is about to go
    removed: list[str] = []
    made = target.find_vm(plan.working_name)
    if made is not None and _is_unfinished(made, run):
        if made.status != "down":
            made = target.stop_vm(made, timeout_s=60.0)
        target.remove_vm(made, keep_disks=True)
        removed.append(f"VM {made.name}")
    if any(_is_finished(target.find_vm(name), run) for name in (plan.name, plan.working_name)):
        return {"removed": removed, "proven_disks_kept": []}
    ends = {disk.name: _remove_disk(target, plan, disk) for disk in plan.disks}
    removed += [f"disk {name}" for name, end in ends.items() if end is Removal.REMOVED]
    return {"removed": removed, "proven_disks_kept": [name for name, end in ends.items() if end is Removal.KEPT]}


def restore_vm(
    target: Target,
    vault: Vault,
    vm: str,
    rule: RestoreRule,
    run: RunId,
    *,
    backup: str = "latest",
    name: str | None = None,
    job_dir: Path | None = None,
    pace: Callable[[str], Pace] = lambda disk: PLAIN_PACE,
    disks_at_once: int = 2,
    wait_for_agent: bool = False,
    keep_on_failure: bool = True,
    keep_ids: bool = True,
) -> Json:
    """Restore a VM in one go. After any failure, also a kill, the same call with the same run goes on.

    `keep_on_failure` False: what was made and is not proven is removed again when it fails. `keep_ids`: as for
    `plan_restore`.
    """
    where = job_dir or journal_dir(run)

    def plan_anew() -> RestorePlan:
        return plan_restore(target, vault, vm, rule, run, backup=backup, name=name, keep_ids=keep_ids)

    plan = _keep_plan(where, plan_anew)
    try:
        disks = create_disks(target, plan)

        def do_disk(disk: Json) -> Json:
            upload_disk(target, plan, disk, job_dir=where, pace=pace(disk["name"]))
            return verify_disk(target, plan, disk, pace=pace(disk["name"]))

        with ThreadPoolExecutor(max(1, min(disks_at_once, len(disks)))) as pool:
            proven = list(pool.map(do_disk, disks))
        made = finish_restore(target, plan, create_vm(target, plan, proven), wait_for_agent=wait_for_agent)
    except EngineError:
        if not keep_on_failure:
            roll_back(target, plan)
        raise
    (where / _PLAN).unlink(missing_ok=True)
    return made.to_json()


def journal_dir(run: RunId) -> Path:
    """Give the directory of a restore's journals on this machine. Losing it costs a second upload, nothing else."""
    path = _journal_path(run)
    path.parent.parent.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)
    return path


def drop_journals(run: RunId) -> None:
    """Remove a restore's journals from this machine; may be called twice."""
    shutil.rmtree(_journal_path(run), ignore_errors=True)


def _journal_path(run: RunId) -> Path:
    return Path(tempfile.gettempdir()) / f"vmferry-{os.getuid()}" / "restore" / run.digest


def target_state(target: Target, plan: RestorePlan, disk: DiskRef) -> DiskRef:
    """Look the disk up again: an earlier try may have proven it."""
    return target.create_disk(_spec(plan, replace(plan.disk(disk.name), id=disk.id)), RunId(plan.run))


def with_ids(plan: RestorePlan, references: Sequence[DiskRef]) -> RestorePlan:
    """Give the plan with the ids that its disks have."""
    ids = {one.name: one.id for one in references}
    return replace(plan, disks=tuple(replace(disk, id=ids.get(disk.name, disk.id)) for disk in plan.disks))


def _create_disk(target: Target, plan: RestorePlan, disk: PlannedDisk) -> DiskRef:
    run = RunId(plan.run)
    try:
        return target.create_disk(_spec(plan, disk), run)
    except IdTaken:
        # Another restore of this VM was planned while the id was free, and was faster.
        return target.create_disk(_spec(plan, replace(disk, id=derive_disk_id(run, plan.vm, disk.name))), run)


def _remove_disk(target: Target, plan: RestorePlan, disk: PlannedDisk) -> Removal:
    run = RunId(plan.run)
    ends = [target.remove_disk(one, run) for one in {disk.id, derive_disk_id(run, plan.vm, disk.name)}]
    return next((end for end in (Removal.KEPT, Removal.REMOVED) if end in ends), Removal.NOTHING)


_PLAN = "plan.json"


def _keep_plan(where: Path, make: Callable[[], RestorePlan]) -> RestorePlan:
    """Go on by the plan of an earlier try: half way through, the target is no longer what it was."""
    path = where / _PLAN
    if path.exists():
        return RestorePlan.from_json(json.loads(path.read_text()))
    plan = make()
    where.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(plan.to_json()))
    fresh.replace(path)
    return plan


def _upload_once(target: Target, plan: RestorePlan, disk: DiskRef, where: Path, pace: Pace) -> Json:
    # The platform may have dropped the disk of a transfer that failed: then it is made anew, by the same id.
    access = target.writable(target_state(target, plan, disk))
    (done,) = restore(
        Vault(Path(plan.vault)), plan.vm, {disk.name: access.spec}, backup=plan.backup, job_dir=where,
        pace=lambda name: pace, secrets=access.secrets,
    )  # fmt: skip
    target.seal_disk(disk)
    return {
        "disk": disk.name,
        "written_bytes": done.result.written_bytes,
        "read_bytes": done.result.read_bytes,
        "resumed_bytes": done.result.resumed_bytes,
        "seconds": done.result.seconds,
    }


def _read_root(target: Target, disk: DiskRef, planned: PlannedDisk, pace: Pace) -> str:
    with ExitStack() as open_things:
        access = target.rereadable(disk)
        open_things.callback(target.end_rereading, disk)
        endpoint = open_source(access.spec, access.secrets)
        open_things.callback(endpoint.close)
        if endpoint.size < planned.size_bytes:
            raise ShortRead(
                f"{endpoint.name}: what is read back has {endpoint.size} bytes, the backup {planned.size_bytes}",
                fix="run it again; if it stays, look at the disk at the target",
            )
        # A platform may round a disk up; the root is over the bytes of the backup.
        sized = Sized(endpoint, planned.size_bytes)
        result = measure(
            sized, workers=pace.workers, throttle=pace.throttle, progress=pace.progress, cancel=pace.cancel
        )
    return result.root


def _spec(plan: RestorePlan, disk: PlannedDisk) -> DiskSpec:
    return DiskSpec(
        name=disk.name, alias=disk.alias, size_bytes=disk.size_bytes, storage=plan.ground.storage, id=disk.id,
        used_bytes=disk.used_bytes, vm=plan.vm,
    )  # fmt: skip


def _is_unfinished(vm: VmRef, run: RunId) -> bool:
    return _is_of(vm, run) and "complete" not in vm.marks


def _is_finished(vm: VmRef | None, run: RunId) -> bool:
    return vm is not None and _is_of(vm, run) and "complete" in vm.marks


def _is_of(vm: VmRef, run: RunId) -> bool:
    return vm.owner is not None and is_tag_of(RunId(vm.owner).tag(), run)


def _plain(value: object) -> Json:
    raw: Json = to_plain(value)
    return raw
