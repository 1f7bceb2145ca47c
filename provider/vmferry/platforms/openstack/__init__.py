# SPDX-License-Identifier: Apache-2.0
"""OpenStack: `OpenstackSite(OpenstackSettings(...))` does in one project what a migration's steps need, and undoes it.

`session` asks the services and outlasts their absences; `inventory` reads servers as `facts`, and `obstacles` says what
of a server cannot be moved; `snapshots`, `images` and `volumes` hold bytes, `attachments` bring volumes to servers,
`loans` are volumes of a server that a run has borrowed; `servers` and `ports` are stopped, started and made; `leases`
finds what was left; `waits` says what every state means; `naming` makes names and tags. Runbook: docs/openstack.md.

The SDK is imported when the driver is first used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmferry.platforms.openstack.settings import OpenstackSettings

if TYPE_CHECKING:
    from vmferry.platforms.openstack.driver import OpenstackSite

__all__ = ["OpenstackSettings", "OpenstackSite"]


def __getattr__(name: str) -> Any:
    if name != "OpenstackSite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vmferry.platforms.openstack.driver import OpenstackSite

    return OpenstackSite
