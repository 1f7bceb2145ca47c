# SPDX-License-Identifier: Apache-2.0
"""A whole import in one process: for programs and tests. The DAG makes the same calls, each in a task of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from vmferry.engine.jobs import JobSpec
from vmferry.operations.disk_import import ending, jobs, plan, running
from vmferry.operations.disk_import.plan import ImportPlan
from vmferry.operations.values import Json
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.platforms.runs import RunId
from vmferry.policy.imports import ImportPolicy

_EVERY_S = 0.5


def import_disk(site: OciSite, rule: ImportPolicy, ref: ObjectRef, owner: RunId) -> Json:
    """Make a volume of an object, prove it, and give everything else back. May be called again: it goes on."""
    wanted = plan.get_file_head(site, rule, ref)
    try:
        done = _write(site, wanted, owner)
    finally:
        given = ending.give_back(site, wanted, owner)
    return {**done, "given_back": given}


def _write(site: OciSite, wanted: ImportPlan, owner: RunId) -> Json:
    facts = inspect_image(site, wanted, owner)
    size_bytes = int(facts["virtual_size_bytes"])
    seat = running.take_device(site, wanted, size_bytes, owner)
    written = _run(
        site, wanted, seat, jobs.write_job(wanted, facts, seat.device, owner, running.authority(site)), owner
    )
    found = _run(site, wanted, seat, jobs.verify_job(size_bytes, seat.device, owner), owner)
    jobs.check_roots(wanted, str(written["root"]), str(found["root"]))
    ending.note_verified(site, wanted, str(found["root"]), owner)
    checked = _run(site, wanted, seat, jobs.fsck_job(wanted, seat.device, owner), owner)
    ending.judge_file_systems(site, wanted, checked, owner)
    ending.detach_block_volume(site, wanted, owner)
    ending.update_performance(site, wanted, owner)
    ending.set_backup_policy(site, wanted, owner)
    return ending.finish(site, wanted, owner)


def inspect_image(site: OciSite, wanted: ImportPlan, owner: RunId) -> Mapping[str, Any]:
    """Say what the image is, its size included; raises what is wrong with it."""
    seat, ca = running.take_seat(site, wanted, owner), running.authority(site)
    facts = _run(site, wanted, seat, jobs.inspect_job(wanted, owner, ca), owner)
    return complete_facts(site, wanted, facts, seat, owner)


def complete_facts(
    site: OciSite, wanted: ImportPlan, facts: Mapping[str, Any], seat: running.Seat, owner: RunId
) -> Mapping[str, Any]:
    """Check format and size; a compressed image that does not tell its size is read through for it."""
    jobs.check_format(wanted, facts)
    found = dict(facts)
    if found.get("virtual_size_bytes") is None:
        spec = jobs.measure_job(wanted, found, owner, running.authority(site))
        found["virtual_size_bytes"] = _run(site, wanted, seat, spec, owner)["size_bytes"]
    plan.check_limit(wanted, int(found["virtual_size_bytes"]))
    return found


def _run(site: OciSite, wanted: ImportPlan, seat: running.Seat, spec: JobSpec, owner: RunId) -> dict[str, Any]:
    return running.run_job(site, wanted, seat, spec, owner, lambda: time.sleep(_EVERY_S))
