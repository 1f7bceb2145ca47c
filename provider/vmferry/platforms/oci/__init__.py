# SPDX-License-Identifier: Apache-2.0
"""Oracle Cloud Infrastructure: `OciSite(OciSettings(...))` makes what an import needs, and gives it back.

`session` asks OCI and outlasts its absences; `objects` reads the bucket; `workers` are the instances that write;
`volumes` and `boot_volumes` are what is written, `attachments` bring the two together; `leases` finds what was left;
`waits` says what every state means; `naming` makes names, tags and retry tokens. Runbook: docs/oci.md.

The SDK is imported when the driver is first used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmferry.platforms.oci.settings import OciSettings

if TYPE_CHECKING:
    from vmferry.platforms.oci.driver import OciSite

__all__ = ["OciSettings", "OciSite"]


def __getattr__(name: str) -> Any:
    if name != "OciSite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vmferry.platforms.oci.driver import OciSite

    return OciSite
