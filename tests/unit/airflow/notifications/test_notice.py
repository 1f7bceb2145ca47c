from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.sinks import WebHook, serving

from vmferry.notifications.notice import NoticeNotifier

NOTICE = {"type": "webhook", "connection": "hook", "to": ["ops"], "repeat_after_s": None}


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebHook]:
    server = WebHook()
    address = {"conn_type": "http", "host": f"http://127.0.0.1:{server.server_port}", "password": "T0/secret"}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(address))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    with serving(server):
        yield server


def make_notifier(**notice: Any) -> NoticeNotifier:
    message = "the backup of VM web01 failed"
    return NoticeNotifier(event="failure", subject="backup_web01", message=message, notices=[{**NOTICE, **notice}])


def test_a_web_hook_is_told_what_happened(mailbox: WebHook) -> None:
    make_notifier().notify({})

    (told,) = mailbox.told
    assert (told["event"], told["subject"], told["to"]) == ("failure", "backup_web01", ["ops"])
    assert mailbox.paths == ["/T0/secret"]


def test_the_message_names_the_task_and_the_page_of_the_run(mailbox: WebHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://flow.example.com/")
    run = SimpleNamespace(dag_id="backup_web01", run_id="manual__2026-11-30T10:00:00+00:00")

    make_notifier().notify({"dag_run": run, "ti": SimpleNamespace(task_id="get_vm_info")})
    make_notifier(type="slack").notify({"dag": SimpleNamespace(dag_id="backup_web01"), "run_id": "again"})

    told, slack = mailbox.told
    assert told["message"] == "the backup of VM web01 failed, in task get_vm_info"
    assert told["run_id"] == run.run_id
    assert told["link"] == ("https://flow.example.com/dags/backup_web01/runs/manual__2026-11-30T10%3A00%3A00%2B00%3A00")
    assert slack["text"].splitlines()[1:4] == [
        "the backup of VM web01 failed", "Run: again", "https://flow.example.com/dags/backup_web01/runs/again"
    ]  # fmt: skip


def test_slack_is_told_in_its_own_way(mailbox: WebHook) -> None:
    make_notifier(type="slack", to=["#ops"]).notify({})

    (told,) = mailbox.told
    assert told["channel"] == "#ops"
    assert "the backup of VM web01 failed" in told["text"]


def test_nobody_hears_the_same_again_too_soon(mailbox: WebHook) -> None:
    for _ in range(3):
        make_notifier(repeat_after_s=3600).notify({})

    assert len(mailbox.told) == 1


def test_the_triggerer_can_tell_it_too(mailbox: WebHook) -> None:
    asyncio.run(make_notifier().async_notify({}))

    assert len(mailbox.told) == 1


def test_one_that_is_away_is_named_and_the_others_are_told(mailbox: WebHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9"}))
    notifier = make_notifier()
    notifier.notices = [{**NOTICE, "connection": "away"}, dict(NOTICE)]

    with pytest.raises(ConnectionError, match="away"):
        notifier.notify({})

    assert len(mailbox.told) == 1
