# SPDX-License-Identifier: Apache-2.0
"""The steps of an import of an uploaded image as operators; the work is `vmferry.operations.disk_import`.

Each step finds what the steps before it made, by the run that owns it, and makes it again where it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobSpec, JobState, JobStatus
from vmferry.hooks.sites import open_site
from vmferry.operators.bound import BoundOperator
from vmferry.operators.owner import owner_of
from vmferry.operators.policy import read_policy
from vmferry.operators.progress import KEY
from vmferry.triggers.worker import WorkerJobTrigger

SITE, PLAN = "site", "plan"
"""XCom keys."""

_POLL_S = 2.0
_PATIENCE_S = 10.0
"""A job that ends within this is waited for in the task. To hand it to the triggerer would cost a second process, and
Airflow 3.3 takes a task for killed whose trigger fires before the scheduler has heard of the hand-over: seen in one of
eight jobs that were shorter than that, on a busy machine, and each costs a try.
"""


class GetFileHeadOperator(BaseOperator):
    """Looks at the object and settles, with the policy's rule, what is to be done; makes nothing.

    Hands on ``site`` and ``plan`` under these keys.
    """

    template_fields: Sequence[str] = ("namespace", "bucket", "object_name", "etag")

    def __init__(self, *, namespace: str, bucket: str, object_name: str, etag: str = "", **given: Any) -> None:
        super().__init__(**given)
        self.namespace = namespace
        self.bucket = bucket
        self.object_name = object_name
        self.etag = etag

    def execute(self, context: Any) -> dict[str, Any]:
        """Look."""
        from vmferry.operations.disk_import.plan import get_file_head
        from vmferry.platforms.oci.naming import MOST_TAGS
        from vmferry.platforms.oci.objects import ObjectRef
        from vmferry.policy.imports import find_import
        from vmferry.policy.surroundings import site_references

        policy = read_policy()
        rule = find_import(policy, self.namespace, self.bucket, self.object_name)
        reference = site_references(policy)[rule.site]
        with open_site(reference) as site:
            plan = get_file_head(site, rule, ObjectRef(self.namespace, self.bucket, self.object_name, self.etag))
        if len(plan.tags) > MOST_TAGS:
            left = ", ".join(sorted(plan.tags)[:10])
            self.log.warning(
                "OCI takes %d of the %d tags that the metadata ask for: %s", MOST_TAGS, len(plan.tags), left
            )
        context["ti"].xcom_push(key=SITE, value=dict(reference))
        context["ti"].xcom_push(key=PLAN, value=plan.to_json())
        return {"object": plan.object, "etag": plan.etag, "size_bytes": plan.size_bytes, "formats": list(plan.formats)}


class ImportOperator(BoundOperator):
    """Base of the steps.

    :param site: What `GetFileHeadOperator` gave.
    :param plan: What `GetFileHeadOperator` gave.
    :param facts: What the inspection of the image gave, for the steps behind it.
    """

    template_fields: Sequence[str] = (SITE, PLAN, "facts")

    def __init__(self, *, site: Any, plan: Any, facts: Any = None, **given: Any) -> None:
        super().__init__(**given)
        self.site = site
        self.plan = plan
        self.facts = facts

    def import_plan(self) -> Any:
        """Give the plan as a value."""
        from vmferry.operations.disk_import.plan import ImportPlan

        return ImportPlan.from_json(self.plan)

    @property
    def size_bytes(self) -> int:
        """Bytes of the disk in the image."""
        return int(self.facts["virtual_size_bytes"])


class ImportStepOperator(ImportOperator):
    """One step that is a call or a few.

    :param step: Which; a name of `STEPS`.
    """

    def __init__(self, *, step: str, **given: Any) -> None:
        super().__init__(**given)
        self.step = step

    def execute(self, context: Any) -> Any:
        """Do it."""
        with open_site(self.site) as site:
            return STEPS[self.step](self, site, self.import_plan(), owner_of(context))


class PublishImportOperator(ImportOperator):
    """Hands the volume over to its owner, and tells its root with the asset."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Finish."""
        from vmferry.operations.disk_import.ending import finish

        with open_site(self.site) as site:
            done = finish(site, self.import_plan(), owner_of(context))
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = done
        self.log.info("%s is volume %s, root %s", done["object"], done["volume"], done["root"])
        return done


class ImportJobOperator(ImportOperator):
    """One step that is a job at the worker: after some seconds it waits without holding a slot.

    :param step: inspect, write, verify or fsck.
    :param written: What the writing gave, to compare with.
    """

    template_fields: Sequence[str] = (*ImportOperator.template_fields, "written")

    def __init__(self, *, step: str, written: Any = None, poll_s: float = _POLL_S, **given: Any) -> None:
        super().__init__(**given)
        self.step = step
        self.written = written
        self.poll_s = poll_s

    def execute(self, context: Any) -> Any:
        """Make ready what the job needs, start it or find it, and defer."""
        return self._start(context, self.step, self.facts)

    def execute_complete(self, context: Any, event: dict[str, Any], step: str = "", facts: Any = None) -> Any:
        """Take what the trigger saw."""
        if "lost_host" in event:
            raise HostLost(event["lost_host"], fix=event["fix"])
        return self._judge(context, JobStatus.from_json(event["status"]), step, facts)

    def _judge(self, context: Any, status: JobStatus, step: str, facts: Any) -> Any:
        """Judge the result, or raise the job's own error."""
        from vmferry.operations.disk_import import ending, jobs, plan, running

        if status.progress:
            context["task_state_store"].set(KEY, {**status.progress, "label": self._label(step)})
        result = running.result_of(status)
        wanted, owner = self.import_plan(), owner_of(context)
        if step == "inspect":
            jobs.check_format(wanted, result)
            if result.get("virtual_size_bytes") is None:
                return self._start(context, "measure", result)
        if step == "measure":
            result = {**facts, "virtual_size_bytes": result["size_bytes"]}
        if step in ("inspect", "measure"):
            plan.check_limit(wanted, int(str(result["virtual_size_bytes"])))
        if step == "verify":
            jobs.check_roots(wanted, str(self.written["root"]), str(result["root"]))
            with open_site(self.site) as site:
                return ending.note_verified(site, wanted, str(result["root"]), owner)
        if step == "fsck":
            with open_site(self.site) as site:
                return ending.judge_file_systems(site, wanted, result, owner)
        return result

    def _start(self, context: Any, step: str, facts: Any) -> Any:
        from vmferry.operations.disk_import import running

        wanted, owner = self.import_plan(), owner_of(context)
        with open_site(self.site) as site:
            if step in ("inspect", "measure"):
                seat = running.take_seat(site, wanted, owner)
            else:
                seat = running.take_device(site, wanted, self.size_bytes, owner)
            spec = _SPECS[step](site, wanted, facts, seat, owner)
            status = running.start_job(site, wanted, seat, spec, owner, _PATIENCE_S)
        self.log.info("job %s at worker %s is %s", spec.id, seat.address, status.state.value)
        if status.state is not JobState.RUNNING:
            return self._judge(context, status, step, facts)
        self.defer(
            trigger=WorkerJobTrigger(
                self.site, seat.worker, seat.address, seat.host_key, spec.id, self.poll_s, label=self._label(step)
            ),
            method_name="execute_complete",
            kwargs={"step": step, "facts": facts},
            timeout=timedelta(days=2),
        )
        raise AssertionError("defer() does not return")

    def _label(self, step: str) -> str:
        return f"{step} {self.plan['object']}"


def _spec_of(step: str) -> Callable[..., JobSpec]:
    def build(site: Any, plan: Any, facts: Any, seat: Any, owner: Any) -> JobSpec:
        from vmferry.operations.disk_import import jobs, running

        ca = running.authority(site)
        made: Mapping[str, Callable[[], JobSpec]] = {
            "inspect": lambda: jobs.inspect_job(plan, owner, ca),
            "measure": lambda: jobs.measure_job(plan, facts, owner, ca),
            "write": lambda: jobs.write_job(plan, facts, seat.device, owner, ca),
            "verify": lambda: jobs.verify_job(int(facts["virtual_size_bytes"]), seat.device, owner),
            "fsck": lambda: jobs.fsck_job(plan, seat.device, owner),
        }
        return made[step]()

    return build


_SPECS = {step: _spec_of(step) for step in ("inspect", "measure", "write", "verify", "fsck")}


def _create_instance(_: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.ground import create_instance

    worker = create_instance(site, plan, owner)
    return {"worker": worker.id, "name": worker.name, "availability_domain": worker.domain}


def _get_private_ip(_: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.ground import create_instance

    return site.private_address(create_instance(site, plan, owner))


def _wait_cloud_init(_: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.running import take_seat

    return take_seat(site, plan, owner).address


def _create_block_volume(step: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.ground import create_block_volume

    volume = create_block_volume(site, plan, step.size_bytes, owner)
    return {"volume": volume.id, "size_gb": volume.size_gb, "vpus_per_gb": volume.vpus_per_gb}


def _attach_block_volume(step: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.ground import attach_block_volume

    found = attach_block_volume(site, plan, step.size_bytes, owner)
    return {"attachment": found.attachment.id, "device": found.attachment.device}


def _wait_for_attachment(step: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
    from vmferry.operations.disk_import.running import take_device

    return take_device(site, plan, step.size_bytes, owner).device


def _ending(name: str) -> Callable[[ImportOperator, Any, Any, Any], Any]:
    def call(_: ImportOperator, site: Any, plan: Any, owner: Any) -> Any:
        from vmferry.operations.disk_import import ending

        return getattr(ending, name)(site, plan, owner)

    return call


STEPS: Mapping[str, Callable[[ImportOperator, Any, Any, Any], Any]] = {
    "create_instance": _create_instance,
    "get_private_ip": _get_private_ip,
    "wait_cloud_init_execution": _wait_cloud_init,
    "create_block_volume": _create_block_volume,
    "attach_block_volume": _attach_block_volume,
    "wait_for_attachment": _wait_for_attachment,
    "detach_block_volume": _ending("detach_block_volume"),
    "update_performance_of_bv": _ending("update_performance"),
    "setup_backup_policy": _ending("set_backup_policy"),
    "terminate_instance": _ending("give_back"),
}
