from __future__ import annotations

from pathlib import Path

import pytest

from vmferry.engine.errors import EngineError, HostLost, TrustError
from vmferry.hosts.errors import AuthenticationFailed
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_failure import explain

SETTINGS = SshSettings("host", "me", 2222, Path("/keys/id"), Path("/known"))
OFFERED = "debug1: Server host key: ssh-ed25519 SHA256:AbC\n"
UNKNOWN = "No ED25519 host key is known for [host]:2222 and you have requested strict checking.\r\n"
CHANGED = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key for host has changed\n"
FAILED = "Host key verification failed.\r\n"


@pytest.mark.parametrize(
    ("stderr", "kind", "says"),
    [
        pytest.param(
            UNKNOWN + FAILED + OFFERED, TrustError, "ssh-ed25519 SHA256:AbC, and /known knows no", id="unknown"
        ),
        pytest.param(CHANGED + FAILED + OFFERED, TrustError, "which is not the host key in /known", id="changed"),
        pytest.param(FAILED, TrustError, "offers a key", id="fingerprint-not-seen"),
        pytest.param("me@host: Permission denied (publickey).", AuthenticationFailed, "/keys/id", id="key-refused"),
        pytest.param('Load key "/keys/id": bad permissions', AuthenticationFailed, "bad permissions", id="key-open"),
        pytest.param("ssh: connect to host host port 2222: Connection refused", HostLost, "refused", id="sshd-down"),
        pytest.param("Timeout, server host not responding.", HostLost, "not responding", id="silent"),
        pytest.param("ssh: Could not resolve hostname host: Name or service not known", HostLost, "resolve", id="dns"),
        pytest.param("kex_exchange_identification: Connection closed by remote host", HostLost, "kex", id="too-busy"),
        pytest.param("", HostLost, "the connection broke", id="no-word"),
    ],
)
def test_what_ssh_says_becomes_a_typed_error(stderr: str, kind: type[EngineError], says: str) -> None:
    error = explain(SETTINGS, stderr)
    assert type(error) is kind
    assert says in error.what
    assert error.fix


def test_the_fix_for_an_unknown_key_can_be_pasted() -> None:
    fix = explain(SETTINGS, UNKNOWN + FAILED + OFFERED).fix
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in fix
    assert "ssh-keyscan -p 2222 host >> /known" in fix
    assert "ssh-keygen -f /known -R '[host]:2222'" in explain(SETTINGS, CHANGED + FAILED).fix
