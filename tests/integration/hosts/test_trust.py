"""Who the host is, and who we are to it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from pathlib import Path

import pytest
from lab.sshd import Sshd

from vmferry.engine.errors import HostLost, TrustError
from vmferry.engine.jobs import JobState
from vmferry.hosts.errors import AuthenticationFailed
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.zipapp import Zipapp


def fingerprint(sshd: Sshd) -> str:
    return subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.host_key)], capture_output=True, text=True, check=True
    ).stdout.split()[1]


@pytest.mark.parametrize("multiplex", [True, False], ids=["shared-connection", "own-connection"])
def test_an_unknown_host_key_is_refused_and_named(sshd: Sshd, engine: Zipapp, tmp_path: Path, multiplex: bool) -> None:
    empty = tmp_path / "empty"
    host = SshHost(sshd.settings(known_hosts=empty, multiplex=multiplex), engine=engine)
    with host, pytest.raises(TrustError, match="knows no key of it") as caught:
        host.poll("a")
    assert fingerprint(sshd) in caught.value.what
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {empty}" in caught.value.fix
    assert not empty.exists()
    assert list(sshd.home.iterdir()) == []


def test_a_changed_host_key_is_refused_also_in_a_loop(sshd: Sshd, engine: Zipapp) -> None:
    with SshHost(sshd.settings(), engine=engine) as host:
        assert host.poll("a").state is JobState.ABSENT
        sshd.kill()
        sshd.change_host_key()
        sshd.start()
        with pytest.raises((TrustError, HostLost)):
            host.poll("a")  # the shared connection may only now find out that it is dead
        with pytest.raises(TrustError, match="is not the host key in") as caught:
            asyncio.run(host.apoll("a"))
    assert fingerprint(sshd) in caught.value.what


def test_the_fix_for_an_unknown_key_works(sshd: Sshd, engine: Zipapp, tmp_path: Path) -> None:
    known = tmp_path / "known"
    settings = sshd.settings(known_hosts=known)
    with SshHost(settings, engine=engine) as host:
        with pytest.raises(TrustError) as caught:
            host.poll("a")
        command = caught.value.fix.rpartition(": ")[2]
        subprocess.run(["sh", "-c", command], check=True, stderr=subprocess.DEVNULL)
        assert host.poll("a").state is JobState.ABSENT


def test_only_an_explicit_no_trusts_anybody_and_it_is_logged(
    sshd: Sshd, engine: Zipapp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        host = SshHost(sshd.settings(known_hosts=None, verify_host_key=False), engine=engine)
    with host:
        assert host.poll("a").state is JobState.ABSENT
    assert [record.getMessage() for record in caplog.records] == [
        "the host key of 127.0.0.1 is not verified: whoever answers there is trusted"
    ]


def test_a_refused_key_is_named(sshd: Sshd, engine: Zipapp) -> None:
    host = SshHost(sshd.settings(identity=sshd.host_key), engine=engine)
    with host, pytest.raises(AuthenticationFailed, match=r"host_key: .*Permission denied"):
        host.poll("a")


def test_a_key_that_others_can_read_is_named(sshd: Sshd, engine: Zipapp, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.write_bytes(sshd.identity.read_bytes())
    loose.chmod(0o644)
    host = SshHost(sshd.settings(identity=loose), engine=engine)
    with host, pytest.raises(AuthenticationFailed, match="loose") as caught:
        host.poll("a")
    assert "ours alone" in caught.value.fix
