"""What the function makes of the answers of Airflow, and of a proxy before it; a real server gives them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from upload_event.airflow import Airflow
from upload_event.errors import AirflowAway, AirflowRefuses, BadSettings
from upload_event.settings import Settings

PASSWORD = "planted-password"


@contextmanager
def answering(*answers: tuple[str, int, Any]) -> Iterator[tuple[Settings, list[tuple[str, str, Any]]]]:
    """Answer by method and path's end; a list of answers is used up from the front, its last one stays."""
    asked: list[tuple[str, str, Any]] = []
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, json.loads(body) if body else None))
            fitting = [one for one in waiting if f"{self.command} {self.path}".endswith(one[0])]
            if len(fitting) > 1:
                waiting.remove(fitting[0])
            _, status, said = fitting[0]
            raw = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Settings(f"http://127.0.0.1:{server.server_port}", "oci", "ocid"), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LOGIN = ("/auth/token", 201, {"access_token": "t1"})
RUNS = "POST /api/v2/dags/imports/dagRuns"


def airflow(settings: Settings) -> Airflow:
    return Airflow(settings, lambda: PASSWORD)


def test_starts_once() -> None:
    with answering(LOGIN, (RUNS, 200, {}), (RUNS, 409, {"detail": "there"})) as (settings, asked):
        client = airflow(settings)
        assert client.start("imports", "r1", {"object": "a"})
        assert not client.start("imports", "r1", {"object": "a"})
    assert [path for _, path, _ in asked].count("/auth/token") == 1, "the token is kept between events"
    assert asked[1][2] == {"dag_run_id": "r1", "logical_date": None, "conf": {"object": "a"}}


def test_new_token_for_a_refused_one() -> None:
    with answering(LOGIN, (RUNS, 401, {}), (RUNS, 200, {})) as (settings, asked):
        assert airflow(settings).start("imports", "r1", {})
    assert [path for _, path, _ in asked].count("/auth/token") == 2


@pytest.mark.parametrize(
    ("status", "said", "kind", "named"),
    [
        (400, {"detail": "bad conf"}, AirflowRefuses, "bad conf"),
        (401, {}, AirflowRefuses, "Vault"),
        (403, {"detail": "Forbidden"}, AirflowRefuses, "role"),
        (404, {"detail": "no such DAG"}, AirflowRefuses, "AIRFLOW_DAG_ID"),
        (302, "<html>log in</html>", AirflowAway, "in front"),
        (429, {}, AirflowAway, "429"),
        (500, {}, AirflowAway, "500"),
        (503, "<html>busy</html>", AirflowAway, "503"),
    ],
    ids=str,
)
def test_refused_run(status: int, said: Any, kind: type[Exception], named: str) -> None:
    with answering(LOGIN, (RUNS, status, said)) as (settings, _), pytest.raises(kind, match=named) as caught:
        airflow(settings).start("imports", "r1", {})
    assert PASSWORD not in str(caught.value)


def test_wrong_password() -> None:
    login = ("/auth/token", 401, {"detail": f"wrong: {PASSWORD}"})
    with answering(login) as (settings, _), pytest.raises(AirflowRefuses, match="Vault") as caught:
        airflow(settings).require_running("imports")
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("answer", [{"is_paused": True}, {}], ids=["paused", "unknown"])
def test_paused(answer: Any) -> None:
    listed = ("GET /api/v2/dags/imports", 200, answer)
    with answering(LOGIN, listed) as (settings, _), pytest.raises(AirflowAway, match="paused"):
        airflow(settings).require_running("imports")


def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = Settings(f"http://127.0.0.1:{taken.getsockname()[1]}", "oci", "ocid")
        with pytest.raises(AirflowAway, match="no answer"):
            airflow(settings).start("imports", "r1", {})


def test_plain_server_behind_https() -> None:
    with answering(LOGIN) as (settings, _):
        https = Settings(settings.airflow_url.replace("http:", "https:"), "oci", "ocid")
        with pytest.raises(AirflowAway, match="no answer"):
            airflow(https).start("imports", "r1", {})


def test_bad_certificate_in_the_settings() -> None:
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    with pytest.raises(BadSettings, match="AIRFLOW_CA_PEM"):
        airflow(Settings("https://airflow.example.com", "oci", "ocid", ca_pem=broken))
