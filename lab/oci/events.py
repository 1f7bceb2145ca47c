"""Tells a function what happened to objects, as OCI's Events service does: by HTTP, with retries and dead letters."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import threading
import time
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

from lab.oci.model import timestamp

if TYPE_CHECKING:
    from lab.oci.site import Site

TYPES = ("createobject", "updateobject")
"""What the rule of the stack asks for; `function` may name others as `types`."""


class Events:
    """The rule, its queue and its dead letters. What was not delivered when the site ended is delivered later."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._one_call = threading.Lock()

    def announce(self, kind: str, bucket: str, name: str, found: dict[str, Any]) -> None:
        """Note what happened, if the bucket has events and a rule wants it; the site's lock is held."""
        function = self._site.settings["function"]
        home = self._site.inventory.buckets[bucket]
        if not home["objectEventsEnabled"] or not function or kind not in function.get("types", TYPES):
            return
        if bucket not in function.get("buckets", [bucket]):
            return
        self.send(_event(self._site, kind, home, name, found))

    def send(self, event: dict[str, Any]) -> None:
        """Deliver an event, now and again until it is taken."""
        delivery = {"event": event, "attempts": [], "state": "pending"}
        with self._site.lock:
            self._site.inventory.deliveries.append(delivery)
        self._site.later(self._deliver, delivery)

    def resume(self) -> None:
        """Go on with what was pending when the site ended."""
        for delivery in self._site.inventory.deliveries:
            if delivery["state"] == "pending":
                self._site.later(self._deliver, delivery)

    def _deliver(self, delivery: dict[str, Any]) -> None:
        tries = int(self._site.settings["event_tries"])
        while len(delivery["attempts"]) < tries:
            if delivery["attempts"]:
                time.sleep(self._site.delay("event.retry"))
            outcome = self._call(delivery["event"])
            with self._site.lock:
                delivery["attempts"].append({"time": timestamp(), **outcome})
                if outcome["status"] == 200:
                    delivery["state"] = "delivered"
                    self._site.save()
                    return
        with self._site.lock:
            delivery["state"] = "dead"
            self._site.save()

    def _call(self, event: dict[str, Any]) -> dict[str, Any]:
        function = self._site.settings["function"]
        if not function:
            return {"status": 0, "answer": "no function"}
        with self._one_call:  # a container of a function answers one call at a time
            try:
                return _post(function, json.dumps(event).encode(), float(self._site.settings["function_seconds"]))
            except (OSError, http.client.HTTPException) as error:
                return {"status": 0, "answer": f"{type(error).__name__}: {error}"}


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over the unix socket that a function listens at."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _post(function: dict[str, Any], body: bytes, timeout_s: float) -> dict[str, Any]:
    deadline = timestamp(time.time() + timeout_s)
    headers = {
        "Content-Type": "application/json", "Fn-Call-Id": secrets.token_hex(13).upper(), "Fn-Deadline": deadline,
        "Fn-Intent": "cloudevent",
    }  # fmt: skip
    if "socket" in function:
        connection: http.client.HTTPConnection = _SocketConnection(function["socket"], timeout_s)
        path = "/call"
    else:
        parts = urllib.parse.urlsplit(function["url"])
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout_s)
        path = parts.path or "/"
    with contextlib.closing(connection):
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return {"status": answer.status, "answer": answer.read().decode(errors="replace")[:2000]}


def _event(site: Site, kind: str, bucket: dict[str, Any], name: str, found: dict[str, Any]) -> dict[str, Any]:
    names = {id: known for known, id in site.place.compartments.items()}
    compartment = bucket["compartmentId"]
    resource = f"/n/{bucket['namespace']}/b/{bucket['name']}/o/{urllib.parse.quote(name, safe='')}"
    return {
        "eventType": f"com.oraclecloud.objectstorage.{kind}",
        "cloudEventsVersion": "0.1",
        "eventTypeVersion": "2.0",
        "source": "ObjectStorage",
        "eventTime": timestamp()[:19] + "Z",
        "contentType": "application/json",
        "data": {
            "compartmentId": compartment,
            "compartmentName": names.get(compartment, "lab"),
            "resourceName": name,
            "resourceId": resource,
            "availabilityDomain": "IAD-AD-1",
            "additionalDetails": {
                "bucketName": bucket["name"],
                "versionId": str(uuid.uuid4()),
                "archivalState": "Available",
                "namespace": bucket["namespace"],
                "bucketId": bucket["id"],
                "eTag": found["etag"],
            },
        },
        "eventID": str(uuid.uuid4()),
        "extensions": {"compartmentId": compartment},
    }
