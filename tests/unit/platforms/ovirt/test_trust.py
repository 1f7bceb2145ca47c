"""Believing an engine's authority by its fingerprint, over real TLS."""

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.pki import Certificate, create_certificate

from vmferry.engine.errors import TrustError, Unreadable
from vmferry.platforms.errors import LoginRefused, SiteAway
from vmferry.platforms.ovirt import OvirtSettings
from vmferry.platforms.ovirt.sso import log_in
from vmferry.platforms.ovirt.trust import check_engine, fetch_authority, find_ca_file


class Answers(http.server.BaseHTTPRequestHandler):
    """A small real server that answers what it was told to."""

    server: Any

    def do_GET(self) -> None:
        self._answer(200, self.server.certificate.ca.read_bytes(), "application/x-x509-ca-cert")

    def do_POST(self) -> None:
        self.server.forms.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(*self.server.login)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextmanager
def engine(certificate: Certificate, login: tuple[int, bytes, str] = (200, b"{}", "application/json")) -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.certificate, server.login, server.forms = certificate, login, []
    server.socket = certificate.server_context().wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return create_certificate(tmp_path / "pki")


@pytest.fixture(autouse=True)
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def settings(server: Any, **more: Any) -> OvirtSettings:
    return OvirtSettings(
        "prod",
        f"https://localhost:{server.server_address[1]}",
        "admin@internal",
        "planted-secret",
        timeout_s=20,
        **more,
    )


def fingerprint(certificate: Certificate) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.ca.read_text())).hexdigest()


def test_a_pinned_authority_is_fetched_once_and_then_believed(certificate: Certificate) -> None:
    with engine(certificate) as server:
        pinned = settings(server, ca_fingerprint=fingerprint(certificate))
        path = find_ca_file(pinned)
        assert path is not None
        check_engine(pinned, path)
    assert find_ca_file(pinned) == path
    assert Path(path).stat().st_mode & 0o077 == 0


def test_a_kept_authority_that_was_changed_is_fetched_anew(certificate: Certificate, tmp_path: Path) -> None:
    other = create_certificate(tmp_path / "other")
    with engine(certificate) as server:
        pinned = settings(server, ca_fingerprint=fingerprint(certificate))
        path = find_ca_file(pinned)
        assert path is not None
        Path(path).write_text(other.ca.read_text())
        assert find_ca_file(pinned) == path
    assert Path(path).read_text().strip() == certificate.ca.read_text().strip()


def test_another_authority_than_the_pinned_one_stops_everything(certificate: Certificate) -> None:
    with engine(certificate) as server, pytest.raises(TrustError) as caught:
        find_ca_file(settings(server, ca_fingerprint="00" * 32))
    assert fingerprint(certificate) in caught.value.what
    assert "approve" in str(caught.value) or "confirm" in str(caught.value)


def test_a_ca_file_is_compared_with_the_pin_too(certificate: Certificate, tmp_path: Path) -> None:
    with engine(certificate) as server:
        with pytest.raises(TrustError, match="pinned is 0000"):
            find_ca_file(settings(server, ca_file=str(certificate.ca), ca_fingerprint="00" * 32))
        with pytest.raises(Unreadable, match=r"nowhere.pem"):
            find_ca_file(settings(server, ca_file=str(tmp_path / "nowhere.pem")))
        (tmp_path / "empty.pem").write_text("no certificate")
        with pytest.raises(TrustError, match="holds no certificate"):
            find_ca_file(settings(server, ca_file=str(tmp_path / "empty.pem")))


def test_an_unknown_authority_is_refused_and_its_fingerprint_told(certificate: Certificate) -> None:
    with engine(certificate) as server, pytest.raises(TrustError, match="cannot be trusted") as caught:
        check_engine(settings(server), None)
    assert fingerprint(certificate) in caught.value.fix


def test_an_engine_that_is_away_is_no_question_of_trust(certificate: Certificate) -> None:
    with engine(certificate) as server:
        gone = settings(server)
    with pytest.raises(SiteAway, match="does not answer"):
        fetch_authority(gone)
    with pytest.raises(SiteAway, match="does not answer"):
        check_engine(gone, str(certificate.ca))


def test_a_login_gives_the_token(certificate: Certificate) -> None:
    said = b'{"access_token": "abc", "exp": "9", "token_type": "bearer"}'
    with engine(certificate, (200, said, "application/json")) as server:
        assert log_in(settings(server), str(certificate.ca)) == "abc"
    assert "username=admin%40internal" in server.forms[0]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b'{"error": "access_denied", "error_description": "Cannot authenticate user"}', LoginRefused),
        (200, b'[{"error_code": "access_denied", "error": "Cannot authenticate user"}]', LoginRefused),
        (503, b"<html>starting</html>", SiteAway),
        (200, b"<html>a portal</html>", SiteAway),
        (502, b'{"error": "proxy"}', SiteAway),
    ],
    ids=["wrong-password", "old-engine", "html-503", "html-200", "json-502"],
)
def test_a_login_that_fails_says_whose_fault_it_is(
    certificate: Certificate, status: int, body: bytes, kind: type[Exception]
) -> None:
    with engine(certificate, (status, body, "text/html")) as server, pytest.raises(kind) as caught:
        log_in(settings(server), str(certificate.ca))
    assert "planted-secret" not in str(caught.value)
