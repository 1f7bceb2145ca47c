# SPDX-License-Identifier: Apache-2.0
"""oVirt and OLVM: `OvirtSite(OvirtSettings(...))` keeps the three promises of `platforms.contract`.

`session` asks the engine and outlasts its absences; `inventory` reads; `points` opens and closes points by `backups`
(changed-block tracking) or `snapshots`; `transfers` are the ways to bytes; `disks`, `vms`, `nics` make things; `leases`
finds what was left; `waits` says what every state means; `trust` and `sso` say who is who. Runbook: docs/ovirt.md.

The SDK is imported when the driver is first used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmferry.platforms.ovirt.settings import OvirtSettings

if TYPE_CHECKING:
    from vmferry.platforms.ovirt.driver import OvirtSite

__all__ = ["OvirtSettings", "OvirtSite"]


def __getattr__(name: str) -> Any:
    if name != "OvirtSite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vmferry.platforms.ovirt.driver import OvirtSite

    return OvirtSite
