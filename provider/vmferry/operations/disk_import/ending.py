# SPDX-License-Identifier: Apache-2.0
"""The end of an import: what is proven is noted and kept, everything else is given back, whatever happened before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.operations.disk_import.ground import find_volume, worker_spec
from vmferry.operations.disk_import.plan import ImportPlan
from vmferry.operations.values import Json
from vmferry.platforms.errors import BadState, NotThere
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.naming import COMPLETE, VERIFIED
from vmferry.platforms.oci.volumes import Volume
from vmferry.platforms.orders import Removal
from vmferry.platforms.runs import RunId

IMPORTED = "imported/"
"""Where an object goes that need not be kept; the stack's lifecycle rule deletes it there after some days."""


_FIXES = {
    "check": "set fs_check to repair and import again, or to skip; the volume is kept, its bytes are the image's",
    "repair": "it could not be mended without a person: mend it on the volume, which is kept, or set fs_check to skip",
}


class DamagedFileSystem(BadState):
    """A file system of the image is damaged, and the policy does not let that pass."""


def note_verified(site: OciSite, plan: ImportPlan, root: str, owner: RunId) -> Json:
    """Note at the volume that its bytes are those of the image."""
    volume = site.mark_verified(require_volume(site, plan, owner), owner, root, _findings(plan))
    return {"volume": volume.id, "root": root}


def judge_file_systems(site: OciSite, plan: ImportPlan, checked: Mapping[str, Any], owner: RunId) -> Json:
    """Note what the check found; raises `DamagedFileSystem` when something is damaged and was not mended.

    Who skips the check is told of damage that stands in the way of looking, by the tag and the result.
    """
    verdict = str(checked["verdict"])
    volume = require_volume(site, plan, owner)
    site.mark(volume, owner, *_words(volume), more={"vmferry-fs": verdict})
    items = [f"{one['where']} ({one['type']}): {one['verdict']}, {one['meaning']}" for one in checked["items"]]
    if verdict == "damaged" and plan.fs_check != "skip":
        damaged = [text for text, one in zip(items, checked["items"], strict=True) if one["verdict"] == verdict]
        problems = [*checked["table"].get("problems", ()), *damaged]
        raise DamagedFileSystem(f"{plan.ref.title}: {'; '.join(problems)}", fix=_FIXES[plan.fs_check])
    return {"verdict": verdict, "file_systems": items}


def detach_block_volume(site: OciSite, plan: ImportPlan, owner: RunId) -> bool:
    """Detach the volume; False when it was not attached."""
    worker = site.find_worker(plan.compartment, owner)
    volume = find_volume(site, plan, owner)
    return worker is not None and volume is not None and site.detach(worker, volume)


def update_performance(site: OciSite, plan: ImportPlan, owner: RunId) -> int:
    """Give the volume the performance that it is to have."""
    return site.set_performance(require_volume(site, plan, owner), plan.vpus_per_gb).vpus_per_gb


def set_backup_policy(site: OciSite, plan: ImportPlan, owner: RunId) -> str | None:
    """Assign the backup policy, if one is wanted."""
    if not plan.backup_policy:
        return None
    return site.set_backup_policy(require_volume(site, plan, owner), plan.backup_policy, plan.compartment)


def finish(site: OciSite, plan: ImportPlan, owner: RunId) -> Json:
    """Hand the volume over to its owner: the janitor leaves it alone from now on."""
    volume = require_volume(site, plan, owner)
    done = site.mark(volume, owner, VERIFIED, COMPLETE, more={})
    if not plan.keep_object and not plan.object.startswith(IMPORTED):
        site.rename_object(plan.ref, IMPORTED + plan.object)
    return {
        "volume": done.id,
        "name": done.name,
        "size_gb": done.size_gb,
        "vpus_per_gb": done.vpus_per_gb,
        "availability_domain": done.domain,
        "root": done.tags.get("vmferry-root", ""),
        "file_systems": done.tags.get("vmferry-fs", ""),
        "object": plan.object,
        "bucket": plan.bucket,
        "etag": plan.etag,
    }


def give_back(site: OciSite, plan: ImportPlan, owner: RunId) -> Json:
    """Close the ways to the object, end the worker, and delete a volume that is not proven. May be run again.

    All of it is tried, whatever fails; the first failure is raised in the end.
    """
    done: Json = {"ways": 0, "detached": False, "worker": None, "volume": Removal.NOTHING.value}
    failures: list[EngineError] = []
    for name, step in (("ways", _close_ways), ("detached", detach_block_volume), ("worker", _end), ("volume", _drop)):
        try:
            done[name] = step(site, plan, owner)
        except EngineError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return done


def require_volume(site: OciSite, plan: ImportPlan, owner: RunId) -> Volume:
    """Look the volume up; raises `NotThere` when it is gone."""
    found = find_volume(site, plan, owner)
    if found is None:
        raise NotThere(
            f"{plan.ref.title}: its volume {plan.name!r} is gone", fix="clear the run's tasks: it is made anew"
        )
    return found


def _close_ways(site: OciSite, plan: ImportPlan, owner: RunId) -> int:
    return site.close_ways(plan.ref, owner)


def _end(site: OciSite, plan: ImportPlan, owner: RunId) -> str | None:
    worker = site.find_worker(worker_spec(plan).compartment, owner)
    if worker is None:
        return None
    site.end_worker(worker)
    return worker.id


def _drop(site: OciSite, plan: ImportPlan, owner: RunId) -> str:
    volume = find_volume(site, plan, owner)
    return (site.remove_volume(volume, owner) if volume is not None else Removal.NOTHING).value


def _words(volume: Volume) -> tuple[str, ...]:
    return (VERIFIED,) if volume.verified else ()


def _findings(plan: ImportPlan) -> dict[str, str]:
    return {"vmferry-sha256": plan.sha256} if plan.sha256 else {}
