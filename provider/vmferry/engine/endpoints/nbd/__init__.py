# SPDX-License-Identifier: Apache-2.0
"""NBD, spoken by ourselves: no library, bytes go from the socket straight into the pump's buffers."""

from __future__ import annotations

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints.file import too_small
from vmferry.engine.endpoints.nbd.address import NbdAddress, TlsFiles, parse_address
from vmferry.engine.endpoints.nbd.endpoint import NbdEndpoint
from vmferry.engine.endpoints.nbd.link import Reach

__all__ = ["NbdAddress", "NbdEndpoint", "Reach", "TlsFiles", "open_nbd", "open_nbd_target", "parse_address"]


def open_nbd(spec: EndpointSpec, *, writable: bool) -> NbdEndpoint:
    """Open an export.

    Options: tls_ca, tls_cert, tls_key, tls_hostname; timeout_s (no answer: the connection is broken, default 60);
    reconnect_s (how long to try to come back, default 60); identity (what says that these are the same bytes, where
    the address is another one at every try, as with a forwarded socket).
    """
    options = spec.options
    address = parse_address(spec.address, options)
    reach = Reach(address, writable, float(options.get("timeout_s", 60)), float(options.get("reconnect_s", 60)))
    return NbdEndpoint(reach, identity=str(options.get("identity", "")))


def open_nbd_target(spec: EndpointSpec, size_bytes: int) -> NbdEndpoint:
    """Open an export for writing `size_bytes`."""
    endpoint = open_nbd(spec, writable=True)
    if endpoint.size < size_bytes:
        endpoint.close()
        raise too_small(endpoint.name, endpoint.size, size_bytes, "export a larger disk")
    return endpoint
