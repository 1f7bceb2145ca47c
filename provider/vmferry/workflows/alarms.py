# SPDX-License-Identifier: Apache-2.0
"""Who is told when a DAG fails, ends well, or is late for its RPO."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert

from vmferry.notifications.notice import NoticeNotifier
from vmferry.timetables.deadline import LastBackup


def rpo_deadline(vm: Mapping[str, Any]) -> DeadlineAlert | None:
    """Make the alarm for a backup that is not there before the newest one is older than the RPO."""
    notices = _wanted(vm, "rpo_missed")
    if not vm["rpo_s"] or not notices:
        return None
    message = f"VM {vm['name']} at {vm['site']}: its newest backup is older than its RPO of {vm['rpo_s'] / 3600:g} h"
    given = {"event": "rpo_missed", "subject": vm["dag_id"], "message": message, "notices": notices}
    return DeadlineAlert(
        reference=LastBackup(), interval=timedelta(seconds=vm["rpo_s"]), callback=AsyncCallback(NoticeNotifier, given)
    )


def failure_callbacks(vm: Mapping[str, Any]) -> list[NoticeNotifier]:
    """Make what is called when a run has failed for good."""
    return _notifiers(vm, "failure", f"the backup of VM {vm['name']} at {vm['site']} failed")


def success_callbacks(vm: Mapping[str, Any]) -> list[NoticeNotifier]:
    """Make what is called when a run has ended well."""
    return _notifiers(vm, "success", f"VM {vm['name']} at {vm['site']} has a new backup")


def _notifiers(vm: Mapping[str, Any], event: str, message: str) -> list[NoticeNotifier]:
    notices = _wanted(vm, event)
    return [NoticeNotifier(event=event, subject=vm["dag_id"], message=message, notices=notices)] if notices else []


def _wanted(vm: Mapping[str, Any], event: str) -> list[dict[str, Any]]:
    return [dict(one) for one in vm["notices"] if event in one["events"]]
