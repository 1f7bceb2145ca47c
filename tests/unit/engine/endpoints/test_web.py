"""Locations, secret headers and patience: what needs no server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.endpoints.web import create_tls_context, parse_headers, parse_location
from vmferry.engine.endpoints.web_retry import Outage, parse_retry_after
from vmferry.engine.errors import BadInput, SourceLost, TrustError, Unreadable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b.raw", "https://host/a/b.raw"),
        ("https://host:8443/a?sig=hush", "https://host:8443/a?…"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("https://host/p/hush/n/ns/b/x/o/y", "https://host/p/…/n/ns/b/x/o/y"),
        ("https://host", "https://host/"),
    ],
    ids=["plain", "query", "ipv6", "par", "no-path"],
)
def test_names_hold_no_secret(url: str, name: str) -> None:
    assert parse_location(url).name == name


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/a",
        "https://",
        "https://u:hush@host/a",
        "https://host/a b",
        "https://host:x/hush",
        "https://h/\x7fhush",
    ],
    ids=["scheme", "no-host", "user", "space", "port", "control"],
)
def test_bad_urls_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_location(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "name"),
    [("/b", "https://host:1/b"), ("c", "https://host:1/a/c"), ("https://other/d", "https://other/d")],
    ids=["absolute-path", "relative", "other-host"],
)
def test_redirects_are_resolved(reference: str, name: str) -> None:
    assert parse_location("https://host:1/a/x").follow(reference).name == name


def test_redirects_do_not_leave_tls() -> None:
    with pytest.raises(TrustError):
        parse_location("https://host/a").follow("http://host/a")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": "b\\r\\nc"}'], ids=["json", "list", "number", "break"])
def test_bad_secret_headers_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="headers"):
        parse_headers({"headers": text})


def test_missing_or_wrong_authority_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"none\.pem"):
        create_tls_context({"tls_ca": str(tmp_path / "none.pem")}, "x")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(BadInput, match=r"bad\.pem"):
        create_tls_context({"tls_ca": str(tmp_path / "bad.pem")}, "x")


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None), (None, None)]
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text) == seconds


def test_an_outage_ends_with_its_reason() -> None:
    outage = Outage(0.2, threading.Event(), SourceLost)

    def fail_for_ever() -> None:
        while True:
            outage.wait("gone")

    with pytest.raises(SourceLost, match=r"gone, for 0\.2 s"):
        fail_for_ever()
    assert outage.ongoing
    outage.end()
    assert not outage.ongoing


def test_an_unknown_host_is_one_clear_error() -> None:
    with pytest.raises(Unreadable, match="unknown host"):
        open_source(EndpointSpec("http", "http://no-such-host.invalid/a"))
