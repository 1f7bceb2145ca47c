# SPDX-License-Identifier: Apache-2.0
"""Airflow's REST API, as far as a run is started by it."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import quote

from upload_event.errors import AirflowAway, AirflowRefuses, BadSettings
from upload_event.settings import Settings

_TIMEOUT_S = 10.0
_TOKEN_LIFE_S = 600.0
"""Shorter than any sensible [api_auth] jwt_expiration_time; a refused token is replaced anyway."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would turn a redirected POST into a GET, and send the token to wherever it is told."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


class Airflow:
    """Logs in when it has to; keeps its token between events."""

    def __init__(self, settings: Settings, password: Callable[[], str]) -> None:
        self._url, self._user, self._password = settings.airflow_url, settings.user, password
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=_trust(settings)))
        self._token, self._token_ends = "", 0.0

    def require_running(self, dag_id: str) -> None:
        """Raise when the DAG is not there or paused: a run would wait in a queue that nobody looks at."""
        status, answer = self._call("GET", f"/api/v2/dags/{quote(dag_id, safe='')}")
        if status != 200:
            self._refuse(status, f"DAG {dag_id}", answer)
        if answer.get("is_paused") is not False:
            raise AirflowAway(f"DAG {dag_id} is paused in Airflow", fix="switch it on; the event can then come again")

    def start(self, dag_id: str, run_id: str, conf: dict[str, str]) -> bool:
        """Start a run; False when it is there already."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        status, answer = self._call("POST", f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns", body)
        if status == 409:
            return False
        if status not in (200, 201):
            self._refuse(status, f"run {run_id} of DAG {dag_id}", answer)
        return True

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        status, answer = self._send(method, path, body, self._log_in())
        if status == 401:  # Airflow was restarted with another key, or its tokens live shorter
            self._token_ends = 0.0
            status, answer = self._send(method, path, body, self._log_in())
        return status, answer

    def _log_in(self) -> str:
        if time.monotonic() >= self._token_ends:
            body = {"username": self._user, "password": self._password()}
            status, answer = self._send("POST", "/auth/token", body)
            token = answer.get("access_token")
            if status not in (200, 201) or not isinstance(token, str):
                self._refuse(status, f"user {self._user!r}", {})
            self._token, self._token_ends = token, time.monotonic() + _TOKEN_LIFE_S
        return self._token

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self._url + path, method=method)  # noqa: S310  read_settings checked the scheme
        request.add_header("Accept", "application/json")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return answer.status, _json_of(answer.read())
        except urllib.error.HTTPError as failure:
            with failure:
                return failure.code, _json_of(failure.read())
        except (OSError, HTTPException) as failure:  # URLError and ssl's are OSErrors
            why = getattr(failure, "reason", failure)
            raise AirflowAway(f"no answer from {self._url}: {why}", fix="the same event can come again later") from None

    def _refuse(self, status: int, what: str, answer: dict[str, Any]) -> NoReturn:
        said = json.dumps(answer.get("detail", ""))[:200]
        if status in (301, 302, 307, 308) or status >= 500 or status == 429:
            raise AirflowAway(
                f"{self._url}: {status} for {what}: {said}", fix="look at Airflow and what is in front of it"
            )
        fixes = {
            401: "compare the secret in Vault with the user's password in Airflow",
            403: "give the user's role the right to create runs of this DAG and to read it",
            404: "check AIRFLOW_DAG_ID, and that Airflow lists the DAG without import errors",
        }
        raise AirflowRefuses(f"{self._url}: {status} for {what}: {said}", fix=fixes.get(status, "see Airflow's log"))


def _trust(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=settings.ca_pem)
    except ssl.SSLError as failure:
        raise BadSettings(f"AIRFLOW_CA_PEM is no certificate: {failure.reason}", fix="paste the whole PEM") from None


def _json_of(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}  # a proxy's HTML
    return found if isinstance(found, dict) else {}
