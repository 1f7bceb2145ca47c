# SPDX-License-Identifier: Apache-2.0
"""Tells every part of Airflow about our timetable and deadline: those it does not know it refuses to load."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from vmferry.timetables.deadline import LastBackup
from vmferry.timetables.policy import PolicyTimetable


class VmferryTimetables(AirflowPlugin):
    """Found through the entry point ``airflow.plugins``."""

    name = "vmferry_timetables"
    timetables: ClassVar[list[Any]] = [PolicyTimetable]
    deadline_references: ClassVar[list[Any]] = [LastBackup]
