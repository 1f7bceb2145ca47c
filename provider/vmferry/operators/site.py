# SPDX-License-Identifier: Apache-2.0
"""Operators that look after sites: their authorities' certificates, and what dead runs left there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from vmferry.engine.errors import EngineError, TrustError
from vmferry.hooks.settings import certificates
from vmferry.hooks.sites import SiteRef, open_site, read_settings
from vmferry.operators.bound import BoundOperator
from vmferry.operators.owner import any_dead_for, owner_of
from vmferry.operators.policy import read_policy
from vmferry.operators.restore import StepOperator

_OURS = ("backup_", "restore_vm", "dr_drill", "oci_disk_import")
_DRIVEN = ("ovirt", "oci")
"""Platforms whose sites can be asked what is left."""


class FetchCertificatesOperator(BaseOperator):
    """Fetches the authority of each oVirt site and compares it with the pinned one, or the one that is kept.

    What is new needs a person's word: it is handed on, not written. Fails when a site has another than the pinned one.
    """

    def execute(self, context: Any) -> list[dict[str, str]]:
        """Fetch and compare."""
        from vmferry.policy.surroundings import site_references

        found, refused = [], []
        for site in site_references(read_policy()).values():
            if site["type"] != "ovirt":
                continue
            try:
                one = self._compare(site)
            except EngineError as error:
                refused.append(str(error))
            else:
                found += [one] if one else []
        if refused:
            raise TrustError("; ".join(refused), fix="nothing was changed")
        return found

    def _compare(self, site: SiteRef) -> dict[str, str] | None:
        from vmferry.platforms.ovirt.trust import fetch_authority, read_authority

        name, settings = site["name"], read_settings(site)
        path = Path(settings.ca_file or certificates() / f"{name}.pem")
        fetched = fetch_authority(settings)
        if settings.pin and fetched.fingerprint != settings.pin:
            raise TrustError(
                f"site {name}: its authority is {fetched.fingerprint}, pinned is {settings.pin}",
                fix="if its admin confirms the new one, pin that in the policy or the connection",
            )
        kept = read_authority(path.read_text(), name).fingerprint if path.is_file() else ""
        if kept == fetched.fingerprint:
            self.log.info("site %s: its authority is still %s", name, kept)
            return None
        if settings.pin:
            write_certificate(path, fetched.pem)
            self.log.info("site %s: wrote the pinned authority to %s", name, path)
            return None
        return {"site": name, "path": str(path), "old": kept, "new": fetched.fingerprint, "pem": fetched.pem}


class InstallCertificatesOperator(BaseOperator):
    """Writes the certificates that a person approved.

    :param found: What `FetchCertificatesOperator` gave.
    """

    template_fields: Sequence[str] = ("found",)

    def __init__(self, *, found: Any, **given: Any) -> None:
        super().__init__(**given)
        self.found = found

    def execute(self, context: Any) -> list[str]:
        """Write them."""
        for one in self.found:
            write_certificate(Path(one["path"]), one["pem"])
            self.log.info("site %s: wrote authority %s to %s", one["site"], one["new"], one["path"])
        return [one["site"] for one in self.found]


def write_certificate(path: Path, pem: str) -> None:
    """Write a certificate, whole or not at all; it is no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(pem)
    fresh.replace(path)


class SkipUnlessOperator(BaseOperator):
    """Skips what follows when there is nothing to do.

    :param things: A list.
    """

    template_fields: Sequence[str] = ("things",)

    def __init__(self, *, things: Any, **given: Any) -> None:
        super().__init__(**given)
        self.things = things

    def execute(self, context: Any) -> int:
        """Count."""
        if not self.things:
            raise AirflowSkipException("there is nothing to do")
        return len(self.things)


class SweepOperator(BoundOperator):
    """Gives back what dead runs left at the policy's sites, and drops their unfinished backups.

    Proven bytes stay whatever happens, and so does all that is not ours or whose run may go on.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Sweep every site; one that does not answer keeps the others from nothing."""
        from vmferry.operations import sweep
        from vmferry.policy.imports import list_buckets
        from vmferry.policy.surroundings import site_references
        from vmferry.vault import open_vault

        policy = read_policy()
        is_dead = any_dead_for(context, lambda dag_id: dag_id.startswith(_OURS))
        done: dict[str, Any] = {}
        away: list[EngineError] = []
        for name, reference in site_references(policy).items():
            if reference["type"] not in _DRIVEN:
                continue
            try:
                with open_site({**reference, "buckets": list_buckets(policy, name)}) as site:
                    done[name] = sweep(site, is_dead, vault=open_vault(policy.backup_directory))
            except EngineError as error:
                away.append(error)
                continue
            self._tell(name, done[name])
        if away:
            raise away[0]
        return done

    def _tell(self, site: str, done: Mapping[str, Sequence[str]]) -> None:
        for what, labels in done.items():
            for label in labels:
                self.log.info("%s: %s %s", site, what, label)


class RemoveDrillOperator(StepOperator):
    """Removes the VM of a drill with its disks, proven or not: it is a copy, and the drill made it."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Remove it; gone already is fine."""
        from vmferry.operations import roll_back

        plan, run = self.restore_plan(), owner_of(context)
        with open_site(self.site) as target:
            made = target.find_vm(plan.name)
            if made is None or made.owner is None or not is_of(made, run):
                return roll_back(target, plan)
            if made.status != "down":
                made = target.stop_vm(made, timeout_s=120.0)
            target.remove_vm(made, keep_disks=False)
        return {"removed": [f"VM {made.name} with its disks"], "proven_disks_kept": []}


def is_of(vm: Any, run: Any) -> bool:
    """Tell whether this run made the VM."""
    from vmferry.platforms.runs import RunId, is_tag_of

    return is_tag_of(RunId(vm.owner).tag(), run)


class MeasureDrillOperator(StepOperator):
    """Says how long the restore took (RTO), and how old the backup was when the drill began (RPO)."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Measure."""
        from datetime import UTC, datetime

        from vmferry.vault.names import id_moment

        plan, began = self.restore_plan(), context["dag_run"].start_date
        moment = id_moment(plan.backup)
        measured = {
            "vm": plan.vm,
            "backup": plan.backup,
            "rto_s": round((datetime.now(UTC) - began).total_seconds(), 1),
            "rpo_s": round((began - moment).total_seconds(), 1),
            "roots": {disk.name: disk.root for disk in plan.disks},
        }
        self.log.info("VM %s: RTO %s s, RPO %s s", plan.vm, measured["rto_s"], measured["rpo_s"])
        return measured
