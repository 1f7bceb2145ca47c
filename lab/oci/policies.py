"""What which kind of caller may do: a site's policies, in few words."""

from __future__ import annotations

from typing import Any

from lab.oci.router import not_found
from lab.oci.signature import Principal

DEFAULT_POLICIES: dict[str, list[str]] = {
    "user": ["*"],
    "instance": ["objects.read"],
    "resource": ["objects.read", "secrets.read"],
    "link": ["objects.*"],
}
"""Per kind of principal, or for one OCID. Words are those in `route`; `objects.*` and `*` stand for more."""


class Policies:
    """Says no."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def demand(self, principal: Principal, permit: str) -> None:
        """Refuse what a principal may not do."""
        policies: dict[str, list[str]] = self._settings["policies"]
        granted = policies.get(principal.id, policies.get(principal.kind, []))
        family = permit.partition(".")[0] + ".*"
        if not {permit, family, "*"} & set(granted):
            raise not_found(f"[simulator: {principal.kind} may not {permit}]")
