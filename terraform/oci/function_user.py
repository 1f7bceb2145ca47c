# SPDX-License-Identifier: Apache-2.0
"""Makes the function's user and role in Airflow (FAB): function_user.py NAME, the password on standard input.

The role may read the one DAG and start its runs, nothing else. For a run Airflow also wants can_edit of its DAG. The
command `airflow roles add-perms` refuses rights to a DAG that was not parsed yet, as it is on a first boot.
"""

from __future__ import annotations

import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

ROLE = "vmferry-import"
RIGHTS = (
    ("can_read", "DAG:oci_disk_import"),
    ("can_edit", "DAG:oci_disk_import"),
    ("can_create", "DAG Run:oci_disk_import"),
)


def main(name: str, password: str) -> int:
    """Make both, or leave them as they are."""
    with get_application_builder() as builder:
        manager = builder.sm
        role = manager.find_role(ROLE) or manager.add_role(ROLE)
        for action, resource in RIGHTS:
            manager.add_permission_to_role(role, manager.create_permission(action, resource))
        if manager.find_user(username=name):
            return 0
        mail = f"{name}@localhost.invalid"
        return 0 if manager.add_user(name, "OCI", "function", mail, role, password=password) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.readline().rstrip("\n")))
