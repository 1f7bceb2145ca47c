# SPDX-License-Identifier: Apache-2.0
"""What the engine does at the worker: look, write, prove, check. Pure: nothing is started here.

The object is read in ranges through an address that is a secret; what stands in a job's file is only its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vmferry.engine.errors import NotADiskImage, ProofMismatch
from vmferry.engine.jobs import JobKind, JobSpec, job_id
from vmferry.operations.disk_import.plan import ImportPlan
from vmferry.platforms.runs import RunId

SECRET = "url"  # noqa: S105 - the name of the secret, not one
READS_OBJECT = frozenset({"inspect", "measure", "write"})
"""Steps that need the object's address."""


def inspect_job(plan: ImportPlan, owner: RunId, ca: str | None) -> JobSpec:
    """Look at the image, and compare its SHA-256 where one was promised."""
    params: dict[str, Any] = {"source": _object(plan, ca), "name": plan.object}
    if len(plan.formats) == 1:
        params["format"] = plan.formats[0]
    if plan.max_size_bytes:
        params["size_limit"] = plan.max_size_bytes
    if plan.sha256:
        params["sha256"] = plan.sha256
    return JobSpec(_id(owner, "inspect"), JobKind.INSPECT, params)


def measure_job(plan: ImportPlan, facts: Mapping[str, Any], owner: RunId, ca: str | None) -> JobSpec:
    """Read a compressed image through, because nothing else tells how large the disk in it is."""
    return JobSpec(_id(owner, "measure"), JobKind.PROOF, {"source": _source(plan, facts, ca)})


def write_job(plan: ImportPlan, facts: Mapping[str, Any], device: str, owner: RunId, ca: str | None) -> JobSpec:
    """Write the disk in the image to the device."""
    params: dict[str, Any] = {
        "source": _source(plan, facts, ca),
        "target": {"kind": "file", "address": device},
        "proof": "disk.proof",
    }
    if plan.max_bytes_per_s:
        params["rate"] = plan.max_bytes_per_s
    return JobSpec(_id(owner, "write"), JobKind.COPY, params)


def verify_job(virtual_bytes: int, device: str, owner: RunId) -> JobSpec:
    """Read back what was written."""
    source = {"kind": "file", "address": device}
    return JobSpec(_id(owner, "verify"), JobKind.PROOF, {"source": source, "length": virtual_bytes})


def fsck_job(plan: ImportPlan, device: str, owner: RunId) -> JobSpec:
    """Check the file systems on the device, or mend them."""
    return JobSpec(_id(owner, "fsck"), JobKind.FSCK, {"disk": device, "policy": plan.fs_check, "format": "raw"})


def check_format(plan: ImportPlan, facts: Mapping[str, Any]) -> None:
    """Raise `NotADiskImage` when the image is none of what its name and the rule allow."""
    found = facts["format"] + (f".{facts['compression']}" if facts.get("compression") else "")
    if found not in plan.formats:
        what = f"{plan.ref.title}: it is {found}, allowed is {' or '.join(plan.formats)}"
        raise NotADiskImage(what, fix="rename it to what it is, or allow the format in the policy")


def check_roots(plan: ImportPlan, written: str, found: str) -> None:
    """Raise `ProofMismatch` when what is on the volume is not what was read from the object."""
    if written != found:
        what = f"{plan.ref.title}: the volume's root is {found[:16]}…, the image's is {written[:16]}…"
        raise ProofMismatch(what, fix="the volume is not to be trusted: delete it, and import again")


def _id(owner: RunId, step: str) -> str:
    return job_id("import", owner.digest, step, -1)


def _object(plan: ImportPlan, ca: str | None) -> dict[str, Any]:
    name = f"https://objectstorage/n/{plan.namespace}/b/{quote(plan.bucket, safe='')}/o/{quote(plan.object, safe='')}"
    return {"kind": "http", "address": name, "options": {"tls_ca": ca} if ca else {}}


def _source(plan: ImportPlan, facts: Mapping[str, Any], ca: str | None) -> dict[str, Any]:
    lower = _object(plan, ca)
    if facts.get("compression"):
        options = {"compression": facts["compression"], "over": lower}
        if facts.get("virtual_size_bytes"):
            options["size_bytes"] = facts["virtual_size_bytes"]
        return {"kind": "stream", "address": lower["address"], "options": options}
    if facts["format"] == "raw":
        return lower
    return {"kind": "image", "address": lower["address"], "format": facts["format"], "options": {"over": lower}}
