# SPDX-License-Identifier: Apache-2.0
"""When runs happen: the policy's schedules as an Airflow timetable, and how long a VM may be without a new backup."""
