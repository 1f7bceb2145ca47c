"""Somebody is told when a backup fails, and when the next one is not there before the last is older than the RPO."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Iterator

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.sinks import MailServer, WebHook, serving

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "late01"
GONE = "gone01"


@pytest.fixture
def web_hook(installed: Installation) -> Iterator[WebHook]:
    server = WebHook()
    with serving(server):
        address = {"host": f"http://127.0.0.1:{server.server_port}", "password": "services/T0/hush"}
        installed.api.replace_connection("alarm_hook", conn_type="http", **address)
        yield server


@pytest.fixture
def mail_server(installed: Installation) -> Iterator[MailServer]:
    server = MailServer("robot", "mail-hush")
    with serving(server):
        installed.api.replace_connection(
            "alarm_mail",
            conn_type="smtp",
            host="127.0.0.1",
            port=server.server_port,
            login="robot",
            password="mail-hush",
            extra={"disable_ssl": True, "disable_tls": True, "from_email": "vmferry@example.com"},
        )
        yield server


def test_a_backup_that_failed_is_told_once_to_each(
    installed: Installation, web_hook: WebHook, mail_server: MailServer
) -> None:
    notices = [
        {"events": ["failure"], "type": "webhook", "connection": "alarm_hook"},
        {"events": ["failure"], "type": "smtp", "connection": "alarm_mail", "to": ["ops@example.com"]},
    ]
    installed.write_policy(vms_config={GONE: {}}, notifications=notices)
    installed.render()

    run_id = installed.api.trigger(f"backup_{GONE}")
    assert installed.api.wait_for_run(f"backup_{GONE}", run_id) == "failed"

    wait_until(lambda: bool(web_hook.told and mail_server.mails), "both messages")
    (told,), (mail,) = web_hook.told, mail_server.mails
    assert told["message"].startswith(f"the backup of VM {GONE} at source failed, in task ")
    assert (told["subject"], told["run_id"]) == (f"backup_{GONE}", run_id)
    assert web_hook.paths == ["/services/T0/hush"]
    assert (mail["To"], mail["Subject"]) == ("ops@example.com", f"[vmferry] failure: backup_{GONE}")
    assert told["message"] in mail.get_content()
    assert told["link"] in mail.get_content()
    with urllib.request.urlopen(told["link"], timeout=60) as page:
        assert page.status == 200


def test_a_backup_that_is_late_for_its_rpo_is_told(installed: Installation, web_hook: WebHook) -> None:
    add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=16 * MiB)
    notices = [{"events": ["rpo_missed", "success"], "type": "webhook", "connection": "alarm_hook"}]
    installed.write_policy(vms_config={VM: {"rpo": "1m"}}, notifications=notices)
    installed.render()
    began = time.monotonic()
    installed.run(f"backup_{VM}")
    wait_until(lambda: time.monotonic() - began > 65, "the RPO to pass")

    installed.run(f"backup_{VM}")

    wait_until(lambda: "rpo_missed" in [one["event"] for one in web_hook.told], "the alarm")
    told = {one["event"]: one for one in web_hook.told}
    assert "older than its RPO" in told["rpo_missed"]["message"]
    assert told["success"]["subject"] == f"backup_{VM}"


def test_a_vm_that_never_runs_is_told_all_the_same(installed: Installation, web_hook: WebHook) -> None:
    add_vm(installed.production, installed.directory, "never01", disks=1, size_bytes=16 * MiB)
    notices = [{"events": ["rpo_missed"], "type": "webhook", "connection": "alarm_hook"}]
    never = {"schedule": {"type": "cron", "expression": "0 0 1 1 *"}, "rpo": "1h"}
    installed.write_policy(vms_config={"never01": never}, notifications=notices)
    an_hour_ago = time.time() - 3700
    os.utime(installed.policy_file, (an_hour_ago, an_hour_ago))
    installed.api.switch_on("janitor")

    installed.run("janitor")

    (told,) = [one for one in web_hook.told if one["subject"] == "backup_never01"]
    assert (told["event"], told["message"]) == (
        "rpo_missed", "VM never01 at source: it has had no backup for its RPO of 1 h"
    )  # fmt: skip
