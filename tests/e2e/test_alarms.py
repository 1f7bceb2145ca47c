"""Somebody is told when the next backup is not there before the last one is older than the RPO."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "late01"


class Mailbox(ThreadingHTTPServer):
    """A web hook that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Mailbox)
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        pass


@pytest.fixture
def mailbox(installed: Installation) -> Iterator[Mailbox]:
    server = Mailbox()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    installed.api.add_connection("mailbox", conn_type="http", host=f"http://127.0.0.1:{server.server_port}")
    yield server
    installed.api.call("DELETE", "/api/v2/connections/mailbox")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_backup_that_is_late_for_its_rpo_is_told(installed: Installation, mailbox: Mailbox) -> None:
    add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=16 * MiB)
    notices = [{"events": ["rpo_missed", "success"], "type": "webhook", "connection": "mailbox"}]
    installed.write_policy(vms_config={VM: {"rpo": "1m"}}, notifications=notices)
    installed.render()
    began = time.monotonic()
    installed.run(f"backup_{VM}")
    wait_until(lambda: time.monotonic() - began > 65, "the RPO to pass")

    installed.run(f"backup_{VM}")

    wait_until(lambda: "rpo_missed" in [one["event"] for one in mailbox.told], "the alarm")
    told = {one["event"]: one for one in mailbox.told}
    assert "older than its RPO" in told["rpo_missed"]["message"]
    assert told["success"]["subject"] == f"backup_{VM}"


def test_a_vm_that_never_runs_is_told_all_the_same(installed: Installation, mailbox: Mailbox) -> None:
    add_vm(installed.production, installed.directory, "never01", disks=1, size_bytes=16 * MiB)
    notices = [{"events": ["rpo_missed"], "type": "webhook", "connection": "mailbox"}]
    never = {"schedule": {"type": "cron", "expression": "0 0 1 1 *"}, "rpo": "1h"}
    installed.write_policy(vms_config={"never01": never}, notifications=notices)
    an_hour_ago = time.time() - 3700
    os.utime(installed.policy_file, (an_hour_ago, an_hour_ago))
    installed.api.switch_on("janitor")

    installed.run("janitor")

    (told,) = [one for one in mailbox.told if one["subject"] == "backup_never01"]
    assert (told["event"], told["message"]) == (
        "rpo_missed", "VM never01 at source: it has had no backup for its RPO of 1 h"
    )  # fmt: skip
