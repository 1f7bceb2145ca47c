"""Who may come in, and what is said to those who may not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lab.openstack.place import API_PORTS, HOST
from lab.pki import create_certificate
from tests.integration.openstack.project import Project

from vmferry.engine.errors import BadInput, TrustError
from vmferry.platforms.contract import Leases
from vmferry.platforms.errors import LoginRefused, SiteAway
from vmferry.platforms.openstack import OpenstackSettings, OpenstackSite
from vmferry.platforms.openstack.settings import Login


def test_check(site: OpenstackSite) -> None:
    assert isinstance(site, Leases)
    facts = site.check()
    assert facts.version.startswith("nova 2.")
    assert "in lab" in facts.name


@pytest.mark.parametrize(
    "changes",
    [{"password": "wrong"}, {"user": "nobody"}, {"project": "destination"}, {"user_domain": "other"}],
    ids=str,
)
def test_refused(settings: OpenstackSettings, changes: dict[str, str]) -> None:
    with OpenstackSite(replace(settings, **changes)) as site, pytest.raises(LoginRefused, match="source") as caught:  # type: ignore[arg-type]
        site.check()
    assert "wrong" not in str(caught.value)


def test_wrong_region(settings: OpenstackSettings) -> None:
    with OpenstackSite(replace(settings, region="moon")) as site, pytest.raises(BadInput, match="region"):
        site.check()


def test_away(settings: OpenstackSettings) -> None:
    nowhere = replace(settings, auth_url="http://127.0.0.1:1/v3", outage_s=0.0)
    with OpenstackSite(nowhere) as site, pytest.raises(SiteAway):
        site.check()


def test_application_credential(settings: OpenstackSettings, source: Project) -> None:
    identity = source.cloud.identity
    user = source.cloud.current_user_id
    made = identity.create_application_credential(user, "vmferry-test")
    key = replace(settings, login=Login.APPLICATION_CREDENTIAL, user=made.id, password=made.secret, project="")
    try:
        with OpenstackSite(key) as site:
            assert list(site.list_vms("^there is no such name$")) == []
            assert source.cloud.current_project_id in site.check().name
    finally:
        identity.delete_application_credential(user, made.id)
    with OpenstackSite(key) as site, pytest.raises(LoginRefused):
        site.check()


def test_certificates_are_verified(settings: OpenstackSettings, tmp_path: Path) -> None:
    certificate = create_certificate(tmp_path / "keystone")
    with tls_in_front(certificate.server_context(), API_PORTS["keystone"]) as port:
        there = replace(settings, auth_url=f"https://{HOST}:{port}/v3", outage_s=0.0)
        with OpenstackSite(there) as site, pytest.raises(TrustError, match="ca_file"):
            site.check()
        with OpenstackSite(replace(there, ca_file=str(certificate.ca))) as site:
            assert "in lab" in site.check().name


@contextmanager
def tls_in_front(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """Speak TLS for a service that does not."""
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, port), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """One request and its answer: the lab's services close the connection after each."""
    try:
        with context.wrap_socket(plain, server_side=True) as client, socket.create_connection((HOST, port)) as service:
            client.settimeout(60)
            service.sendall(_read_request(client))
            while piece := service.recv(65536):
                client.sendall(piece)
    except OSError:  # a client that does not trust us goes away
        plain.close()


def _read_request(client: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head = data.partition(b"\r\n\r\n")[0].lower()
    lengths = [int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = len(head) + 4 + sum(lengths)
    while len(data) < wanted:
        data += client.recv(65536)
    return data
