# SPDX-License-Identifier: Apache-2.0
"""Operations: a VM's backup and its restore, put together from a platform's driver, the vault and the policy.

Each is a chain of steps that may run in different processes, and a function that runs them all: `back_up_vm`,
`restore_vm`. What goes from one step to the next is plain JSON without secrets; every step may be run again. Nothing
here knows which platform it is, or what schedules it.

`backup` and `restore` have the steps, `environment` looks before anything is made, `replacing` puts a proven VM in the
place of an old one, `janitor` gives back what dead runs left, `values` is what goes between steps.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmferry.operations.backup import (
        abandon_backup,
        back_up_disk,
        back_up_vm,
        check_vm_lock,
        close_point,
        get_vm_info,
        open_point,
        publish,
    )
    from vmferry.operations.environment import validate_environment, validate_restore_environment
    from vmferry.operations.freshness import list_late
    from vmferry.operations.janitor import list_leftovers, sweep
    from vmferry.operations.restore import (
        create_disks,
        create_vm,
        finish_restore,
        plan_restore,
        restore_vm,
        roll_back,
        upload_disk,
        verify_disk,
    )
    from vmferry.operations.tracing import detect_new_backups, standing_restore

_HOMES = {
    "backup": (
        "abandon_backup",
        "back_up_disk",
        "back_up_vm",
        "check_vm_lock",
        "close_point",
        "get_vm_info",
        "open_point",
        "publish",
    ),
    "environment": ("validate_environment", "validate_restore_environment"),
    "janitor": ("list_leftovers", "sweep"),
    "restore": (
        "create_disks",
        "create_vm",
        "finish_restore",
        "plan_restore",
        "restore_vm",
        "roll_back",
        "upload_disk",
        "verify_disk",
    ),
    "freshness": ("list_late",),
    "tracing": ("detect_new_backups", "standing_restore"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "abandon_backup",
    "back_up_disk",
    "back_up_vm",
    "check_vm_lock",
    "close_point",
    "create_disks",
    "create_vm",
    "detect_new_backups",
    "finish_restore",
    "get_vm_info",
    "list_late",
    "list_leftovers",
    "open_point",
    "plan_restore",
    "publish",
    "restore_vm",
    "roll_back",
    "standing_restore",
    "sweep",
    "upload_disk",
    "validate_environment",
    "validate_restore_environment",
    "verify_disk",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
