"""What an instance learns about itself (its metadata service), and the tokens it gets for that (federation)."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from typing import Any

from lab.oci.model import REGION, REGION_KEY, Thing
from lab.oci.principals import InstanceIdentity, load_public_key
from lab.oci.router import Refusal, Reply, Request
from lab.oci.site import Site


def answer_federation(site: Site, request: Request) -> Reply:
    """Give an instance a session token for the key that it sends, because it proved to have its certificate's key."""
    assert request.principal
    with site.lock:
        instance = site.inventory.things.get(request.principal.id)
    if request.principal.kind != "instance" or instance is None or instance.gone:
        raise Refusal(401, "NotAuthenticated", "[simulator: no such instance]")
    try:
        key = load_public_key(request.body["publicKey"])
    except (KeyError, ValueError) as error:
        raise Refusal(400, "InvalidParameter", f"publicKey: {error!r}") from None
    claims = {"tenant": site.place.tenancy, "opc-instance": instance.id, "opc-tenant": site.place.tenancy}
    token = site.principals.issue_token(request.principal, key, float(site.settings["session_seconds"]), **claims)
    return Reply({"token": token})


class MetadataServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """The metadata services of all instances, on one port: the OCID is the first part of the path."""

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.lock = threading.Lock()
        self.identities: dict[str, InstanceIdentity] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def identity(self, instance: str) -> InstanceIdentity:
        """Return an instance's certificate and key, the same each time."""
        with self.lock:
            if instance not in self.identities:
                self.identities[instance] = self.site.principals.identify_instance(instance)
            return self.identities[instance]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MetadataServer
    timeout = 60

    def do_GET(self) -> None:
        status, text = self._find()
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _find(self) -> tuple[int, str]:
        if self.headers.get("Authorization") != "Bearer Oracle":
            return 403, "Forbidden"
        instance, _, path = self.path.lstrip("/").partition("/opc/v2/")
        with self.server.site.lock:
            thing = self.server.site.inventory.things.get(instance)
        if thing is None or thing.kind != "instance" or thing.gone:
            return 404, "Not Found"
        if path.startswith("identity/"):
            identity = self.server.identity(instance)
            files = {
                "cert.pem": identity.certificate,
                "key.pem": identity.key,
                "intermediate.pem": identity.intermediate,
            }
            found = files.get(path.partition("/")[2])
            return (200, found) if found else (404, "Not Found")
        return _show(thing, path.strip("/"))


def _show(instance: Thing, path: str) -> tuple[int, str]:
    wire = instance.wire
    known = {
        "id": instance.id, "displayName": wire["displayName"], "compartmentId": wire["compartmentId"],
        "shape": wire["shape"], "region": REGION_KEY, "canonicalRegionName": REGION, "state": wire["lifecycleState"],
        "availabilityDomain": wire["availabilityDomain"], "faultDomain": wire["faultDomain"],
        "timeCreated": wire["timeCreated"], "metadata": wire["metadata"], "freeformTags": wire["freeformTags"],
    }  # fmt: skip
    if path == "instance":
        return 200, json.dumps(known)
    value = known.get(path.partition("/")[2]) if path.startswith("instance/") else None
    if value is None:
        return 404, "Not Found"
    return 200, value if isinstance(value, str) else json.dumps(value)
