"""Binds every port of neutron to the Linux bridge that nova plugs guests into: no agent, no DHCP, no router is needed.

`installation` puts this file into the services' environment as an installed ML2 mechanism driver.
"""

from __future__ import annotations

from typing import Any

import neutron.db.models.port_forwarding  # noqa: F401 - queries of ports need this model, with or without its plugin
import sqlalchemy.orm
from neutron_lib.plugins.ml2 import api


class LabBridges(api.MechanismDriver):  # type: ignore[misc] # neutron has no types
    """The bridge is ``brq`` and the first eleven characters of the network's id, as nova's os-vif calls it."""

    def initialize(self) -> None:
        """Make the models know each other."""
        sqlalchemy.orm.configure_mappers()

    def bind_port(self, context: Any) -> None:
        """Bind it; without `port_filter` os-vif would call iptables, which need not be there."""
        segment = context.segments_to_bind[0]
        context.set_binding(segment[api.ID], "bridge", {"port_filter": True}, status="ACTIVE")
