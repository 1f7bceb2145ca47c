# SPDX-License-Identifier: Apache-2.0
"""Sends a letter over a connection: SMTP, Slack's incoming web hooks, or any web hook that takes JSON."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from vmferry.engine.errors import BadInput

_TIMEOUT_S = 30.0
_RUNBOOKS = {
    "failure": "README.md",
    "rpo_missed": "rpo-missed.md",
    "verify_failed": "verify-failed.md",
    "approval_needed": "README.md",
}
"""Below docs/runbooks; where an event can mean several things, the table of all."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is told."""

    kind: str
    """smtp, slack or webhook."""
    event: str
    subject: str
    text: str
    run_id: str = ""
    link: str = ""
    """The run's page."""
    to: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line for a mail's subject."""
        return f"[vmferry] {self.event.replace('_', ' ')}: {self.subject}"

    @property
    def body(self) -> str:
        """What a person reads: the text, which run it was, and where it says what to do."""
        run = f"Run: {self.run_id}" if self.run_id else ""
        runbook = runbook_of(self.event)
        lines = (self.text, run, self.link, f"What to do: {runbook}" if runbook else "")
        return "\n".join(line for line in lines if line)


def runbook_of(event: str) -> str:
    """Name the page that says what to do; empty when there is nothing to do."""
    return f"docs/runbooks/{_RUNBOOKS[event]}" if event in _RUNBOOKS else ""


def send(letter: Letter, connection: Any) -> None:
    """Send it; raises OSError when the other side does not take it."""
    if letter.kind == "smtp":
        _send_mail(letter, connection)
    else:
        _post(_hook_url(connection), _body(letter))


def _body(letter: Letter) -> Mapping[str, Any]:
    if letter.kind == "slack":
        said: dict[str, Any] = {"text": f"*{letter.title}*\n{letter.body}"}
        return {**said, "channel": letter.to[0]} if letter.to else said
    return {
        "event": letter.event,
        "subject": letter.subject,
        "message": letter.text,
        "runbook": runbook_of(letter.event),
        "run_id": letter.run_id,
        "link": letter.link,
        "to": list(letter.to),
    }


def _hook_url(connection: Any) -> str:
    """Give the address; what is secret of it (Slack's path) may stand in the password."""
    host = connection.host or ""
    url = host if "://" in host else f"https://{host}"
    if connection.port and urlsplit(url).port is None:
        url = f"{url}:{connection.port}"
    if connection.password:
        url = f"{url.rstrip('/')}/{connection.password.lstrip('/')}"
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        fix = "put https://… into its host"
        raise BadInput(f"connection {connection.conn_id} has no address of a web hook", fix=fix)
    return url


def _post(url: str, body: Mapping[str, Any]) -> None:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
        pass


def _send_mail(letter: Letter, connection: Any) -> None:
    extra = connection.extra_dejson
    mail = EmailMessage()
    mail["Subject"] = letter.title
    mail["From"] = extra.get("from_email") or connection.login or "vmferry@localhost"
    mail["To"] = ", ".join(letter.to)
    mail.set_content(f"{letter.body}\n")
    context = ssl.create_default_context()
    host, is_plain = connection.host or "localhost", bool(extra.get("disable_ssl"))
    if is_plain:
        server = smtplib.SMTP(host, connection.port or 25, timeout=_TIMEOUT_S)
    else:
        server = smtplib.SMTP_SSL(host, connection.port or 465, timeout=_TIMEOUT_S, context=context)
    with server:
        if is_plain and not extra.get("disable_tls"):
            server.starttls(context=context)
        if connection.login and connection.password:
            server.login(connection.login, connection.password)
        server.send_message(mail)
