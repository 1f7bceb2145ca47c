"""Nothing secret is anywhere but where it belongs: what was planted, and what sites gave out, is looked for."""

from __future__ import annotations

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.sinks import MailServer, WebHook, serving
from tests.e2e.leaks import ProcessWatch, count_values, find_in_database, find_in_files

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

VM = "safe01"
LOCKED_OUT = "safe02"
PLANTED = {
    "password that the engine refuses": "planted-wrong-8f3c1d5e",
    "password of the mail server": "planted-mail-5b0a7c2d",
    "path of the web hook": "planted-hook-91d4e6f7",
}
WRONG, MAIL, HOOK = PLANTED.values()


@pytest.fixture(scope="module")
def watch(installed: Installation) -> ProcessWatch:
    """Run a backup, a restore and a backup that fails, with all secrets in use, and watch."""
    hook, mail = WebHook(), MailServer("robot", MAIL)
    with serving(hook), serving(mail), ProcessWatch() as watch:
        connect(installed, hook, mail)
        add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=16 * MiB)
        events = ["success", "failure"]
        notices = [
            {"events": events, "type": "slack", "connection": "secret_hook", "to": ["#ops"]},
            {"events": events, "type": "smtp", "connection": "secret_mail", "to": ["ops@example.com"]},
        ]
        site = {"type": "ovirt", "connection": "secret_wrong", "cert_path": str(installed.production.ca)}
        installed.write_policy(
            vms_config={VM: {}, LOCKED_OUT: {"site": "wrong"}}, sites={"wrong": site}, notifications=notices
        )
        installed.render()
        installed.run(f"backup_{VM}")
        installed.run("restore_vm", {"vm": VM, "name": "safe01_again"})
        refused = installed.api.trigger(f"backup_{LOCKED_OUT}")
        assert installed.api.wait_for_run(f"backup_{LOCKED_OUT}", refused) == "failed"
        wait_until(lambda: len(hook.told) > 1 and len(mail.mails) > 1, "messages of both runs")
    return watch


def connect(installed: Installation, hook: WebHook, mail: MailServer) -> None:
    """Plant the secrets where they belong: in passwords of connections."""
    engine, api = installed.production, installed.api
    api.replace_connection(
        "secret_wrong", conn_type="vmferry_ovirt", host=engine.url, login=engine.user, password=WRONG,
        extra={"ca_file": str(engine.ca)},
    )  # fmt: skip
    api.replace_connection("secret_hook", conn_type="http", host=f"http://127.0.0.1:{hook.server_port}", password=HOOK)
    api.replace_connection(
        "secret_mail", conn_type="smtp", host="127.0.0.1", port=mail.server_port, login="robot", password=MAIL,
        extra={"disable_ssl": True, "disable_tls": True},
    )  # fmt: skip


@pytest.fixture
def secrets(installed: Installation, watch: ProcessWatch) -> dict[str, str]:
    """Name all that is secret: what was planted, the engines' passwords, and every token and ticket they gave out."""
    assert watch.looks
    found = dict(PLANTED)
    for lab in (installed.production, installed.recovery):
        given = lab.hook("secrets")
        assert given["tokens"]
        assert given["tickets"]
        found[f"password of {lab.name}"] = lab.password_secret
        found |= {f"token {number} of {lab.name}": one for number, one in enumerate(given["tokens"])}
        found |= {f"ticket {number} of {lab.name}": one for number, one in enumerate(given["tickets"])}
    return found


def test_no_log_and_no_file_has_one(installed: Installation, secrets: dict[str, str]) -> None:
    places = [installed.home.home, installed.directory / "rendered", installed.vault, installed.policy_file]

    assert find_in_files(places, secrets) == []

    logs = [path for path in (installed.home.home / "logs").rglob("*.log") if path.is_file()]
    assert any(LOCKED_OUT in path.read_text(errors="replace") for path in logs), "the run that failed left no log"


def test_the_database_has_none(installed: Installation, secrets: dict[str, str]) -> None:
    database = installed.home.home / "airflow.db"

    assert find_in_database(database, secrets) == []

    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag", "task_state_store", "log"):
        assert count_values(database, table), f"there is nothing in {table}: was it renamed?"


def test_no_process_shows_one(installed: Installation, secrets: dict[str, str], watch: ProcessWatch) -> None:
    assert watch.looks > 50
    assert any(b"airflow" in said for said in watch.seen)
    assert any(b"qemu" in said for said in watch.seen)

    assert watch.find(secrets) == []


def test_the_look_finds_what_is_there(installed: Installation, secrets: dict[str, str], watch: ProcessWatch) -> None:
    assert secrets
    path = installed.directory / "found.txt"
    path.write_text(f"password={WRONG}")

    found = find_in_files([installed.directory / "found.txt"], PLANTED)
    path.unlink()

    assert found == [f"password that the engine refuses: {path}"]
    assert watch.find({"an address": str(installed.home.home)})
    assert find_in_database(installed.home.home / "airflow.db", {"a VM": VM})
