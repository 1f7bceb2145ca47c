# SPDX-License-Identifier: Apache-2.0
"""The tasks of an import. Operators know these ids from the ancestor: keep them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset

from vmferry.operators.disk_import import (
    PLAN,
    SITE,
    GetFileHeadOperator,
    ImportJobOperator,
    ImportStepOperator,
    PublishImportOperator,
)

IMPORTED = Asset(name="vmferry/imported", uri="vmferry://imported")
"""Its events say which volume an object became, and with which root."""


def import_steps() -> None:
    """Add them to the DAG of the `with` block."""
    head = GetFileHeadOperator(
        task_id="get_file_head",
        namespace="{{ params.namespace }}",
        bucket="{{ params.bucket }}",
        object_name="{{ params.object }}",
        etag="{{ params.etag }}",
    )
    given: dict[str, Any] = {"site": head.output[SITE], "plan": head.output[PLAN]}
    create, address, booted = (
        _step(name, given) for name in ("create_instance", "get_private_ip", "wait_cloud_init_execution")
    )
    inspect = ImportJobOperator(task_id="inspect_image", step="inspect", **given)
    given["facts"] = inspect.output
    volume, attach, attached = (
        _step(name, given) for name in ("create_block_volume", "attach_block_volume", "wait_for_attachment")
    )
    write = ImportJobOperator(task_id="write_image_to_bv", step="write", **given)
    verify = ImportJobOperator(task_id="verify", step="verify", written=write.output, **given)
    fsck = ImportJobOperator(task_id="fsck_on_block_volume", step="fsck", **given)
    detach, performance, policy = (
        _step(name, given) for name in ("detach_block_volume", "update_performance_of_bv", "setup_backup_policy")
    )
    publish = PublishImportOperator(task_id="publish", outlets=[IMPORTED], **given)
    end = _step("terminate_instance", {"site": given["site"], "plan": given["plan"]})
    head >> create >> address >> booted >> inspect >> volume >> attach >> attached >> write >> verify >> fsck >> detach
    # From here on nobody needs the worker: it ends while the volume gets its last settings. Its set-up is the plan, not
    # the launch: a worker whose launch failed in our eyes may be there all the same.
    detach >> end.as_teardown(setups=head, on_failure_fail_dagrun=True)
    detach >> performance >> policy >> publish


def _step(name: str, given: dict[str, Any]) -> ImportStepOperator:
    return ImportStepOperator(task_id=name, step=name, **given)
