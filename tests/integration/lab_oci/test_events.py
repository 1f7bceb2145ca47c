"""Events reach the function as OCI sends them, again when it fails, and end as dead letters."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.jobs import wait_until
from lab.oci.lab import OciLab

pytestmark = pytest.mark.root


class Function(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Stands where a function's socket is; answers as it is told."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        super().__init__(str(path), _Handler)

    def get_request(self) -> Any:
        """Accept; the handler wants an address."""
        connection, _ = super().get_request()
        return connection, ("function", 0)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        function: Any = self.server
        function.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        function.headers.append({"path": self.path, **dict(self.headers.items())})
        self.send_response(function.statuses.pop(0) if function.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def function(lab: OciLab, tmp_path: Path) -> Iterator[Function]:
    with Function(tmp_path / "fn.sock") as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        lab.connect_function(socket=tmp_path / "fn.sock")
        with contextlib.ExitStack() as stack:
            stack.callback(thread.join)
            stack.callback(made.shutdown)
            stack.callback(lab.settings, function=None)
            yield made


def _deliveries(lab: OciLab, name: str) -> list[dict[str, Any]]:
    return [one for one in lab.events() if one["event"]["data"]["resourceName"] == name]


def _await_end(lab: OciLab, name: str) -> list[dict[str, Any]]:
    def is_over() -> bool:
        found = _deliveries(lab, name)
        return bool(found) and all(one["state"] != "pending" for one in found)

    wait_until(is_over, f"the event of {name} is delivered or dead")
    return _deliveries(lab, name)


def test_upload_and_overwrite_are_told(lab: OciLab, function: Function) -> None:
    bucket = lab.create_bucket("told")
    etag = lab.put_object(bucket, "vms/a b.qcow2", b"one")
    _await_end(lab, "vms/a b.qcow2")
    lab.put_object(bucket, "vms/a b.qcow2", b"two")
    _await_end(lab, "vms/a b.qcow2")
    assert [one["eventType"].rpartition(".")[2] for one in function.events] == ["createobject", "updateobject"]
    event = function.events[0]
    assert event["cloudEventsVersion"] == "0.1"
    assert event["data"]["resourceId"] == f"/n/{lab.namespace}/b/told/o/vms%2Fa%20b.qcow2"
    details = event["data"]["additionalDetails"]
    assert (details["eTag"], details["bucketName"], details["namespace"]) == (etag, "told", lab.namespace)
    assert function.headers[0]["path"] == "/call"
    assert {"Fn-Call-Id", "Fn-Deadline", "Content-Type"} <= set(function.headers[0])


def test_failing_function_is_called_again(lab: OciLab, function: Function) -> None:
    function.statuses = [502, 504]
    lab.put_object(lab.create_bucket("told"), "again", b"1")
    found = _await_end(lab, "again")
    assert [one["status"] for one in found[0]["attempts"]] == [502, 504, 200]
    assert found[0]["state"] == "delivered"


def test_event_that_nobody_takes_is_a_dead_letter(lab: OciLab, function: Function) -> None:
    function.statuses = [502] * 3
    lab.put_object(lab.create_bucket("told"), "dead", b"1")
    assert [one["state"] for one in _await_end(lab, "dead")] == ["dead"]


def test_quiet_bucket_tells_nothing(lab: OciLab, function: Function) -> None:
    lab.put_object(lab.create_bucket("quiet", events=False), "silent", b"1")
    assert _deliveries(lab, "silent") == []


def test_event_twice(lab: OciLab, function: Function) -> None:
    lab.put_object(lab.create_bucket("told"), "twice", b"1")
    event = _await_end(lab, "twice")[0]["event"]
    lab.hook("send_event", event=event)
    assert len(_await_end(lab, "twice")) == 2
    assert [one["eventID"] for one in function.events] == [event["eventID"]] * 2
