from __future__ import annotations

import itertools
import shlex
import subprocess
from pathlib import Path

import pytest

from vmferry.engine.errors import BadInput
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_command import (
    NO_ENGINE,
    OLD_PYTHON,
    TORN_UPLOAD,
    build_engine,
    build_forward,
    build_master,
    build_receiver,
    build_remote,
    build_ssh,
    job_path,
)

PLAIN = SshSettings("host", "me")
FULL = SshSettings(
    "host",
    "me",
    2222,
    Path("/keys/id"),
    Path("/a b/known%hosts"),
    options=("ProxyJump=bastion",),
    python=("python3.9",),
)


def options_of(argv: list[str]) -> list[str]:
    return [value for flag, value in itertools.pairwise(argv) if flag == "-o"]


def test_plain_settings_use_the_users_own_keys_and_known_hosts() -> None:
    argv = build_ssh(PLAIN)
    assert argv[:6] == ["ssh", "-F", "none", "-T", "-p", "22"]
    assert options_of(argv) == [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ConnectTimeout=15",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
        "LogLevel=ERROR",
    ]


def test_full_settings_pin_key_and_known_hosts() -> None:
    argv = build_ssh(FULL)
    assert argv[argv.index("-i") + 1] == "/keys/id"
    assert {
        "IdentitiesOnly=yes",
        'UserKnownHostsFile="/a b/known%%hosts"',
        "GlobalKnownHostsFile=/dev/null",
        "ProxyJump=bastion",
    } <= set(options_of(argv))


def test_only_an_explicit_no_turns_the_host_key_check_off() -> None:
    argv = build_ssh(SshSettings("host", "me", known_hosts=Path("/known"), verify_host_key=False))
    assert "StrictHostKeyChecking=no" in argv
    assert "UserKnownHostsFile=/dev/null" in argv
    assert not any(word.startswith("StrictHostKeyChecking=no") for word in build_ssh(FULL))


def test_ssh_itself_understands_every_option() -> None:
    for argv in (build_ssh(FULL), build_master(FULL, Path("/run/mux")), build_forward(FULL, Path("/l"), Path("/r"))):
        words = argv if argv[-1] == FULL.destination else [*argv, FULL.destination]
        read = subprocess.run(["ssh", "-G", *words[1:]], capture_output=True, text=True, check=True)
        assert "hostname host" in read.stdout
        assert "proxyjump bastion" in read.stdout


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        pytest.param(Path("/run/nbd.sock"), "/l.sock:/run/nbd.sock", id="unix-socket"),
        pytest.param(10809, "/l.sock:127.0.0.1:10809", id="tcp-port"),
    ],
)
def test_a_forward_has_a_connection_of_its_own(remote: Path | int, expected: str) -> None:
    argv = build_forward(PLAIN, Path("/l.sock"), remote)
    assert argv[argv.index("-L") + 1] == expected
    assert {"ExitOnForwardFailure=yes", "ControlPath=none", "StreamLocalBindUnlink=yes"} <= set(options_of(argv))


def test_a_remote_command_is_one_word_for_any_login_shell() -> None:
    argv = build_remote(PLAIN, "echo 'a b' \"$HOME\"")
    assert argv[-3:-1] == ["--", "me@host"]
    assert shlex.split(argv[-1]) == ["exec", "/bin/sh", "-c", "echo 'a b' \"$HOME\""]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["job", "poll", "~/.local/state/vmferry/jobs/a"], id="a-path-below-home"),
        pytest.param(["job", "read", "~/jobs/a", "$(touch pwned); 'x"], id="a-word-full-of-shell"),
    ],
)
def test_the_engine_gets_its_words_as_they_are(tmp_path: Path, words: list[str]) -> None:
    home = tmp_path / "ho me"
    engine = home / ".local/share/vmferry/engine-abc.pyz"
    engine.parent.mkdir(parents=True)
    engine.write_text("#!/bin/sh\n")
    script = build_engine("abc", ["printf", "%s\\n"], words)
    done = subprocess.run(["sh", "-c", script], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, capture_output=True)
    expected = [str(engine), *(word.replace("~", str(home), 1) if word.startswith("~/") else word for word in words)]
    assert done.stdout.decode().splitlines() == expected
    assert not list(home.glob("pwned"))


def test_a_missing_engine_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(["sh", "-c", build_engine("abc", ["python3"], ["version"])], env={"HOME": str(tmp_path)})
    assert done.returncode == NO_ENGINE


def test_the_receiver_refuses_a_torn_upload(tmp_path: Path) -> None:
    script = build_receiver("0" * 64, ["python3"])
    env = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], input=b"half", env=env)
    assert done.returncode == TORN_UPLOAD
    assert list(tmp_path.iterdir()) == []


def test_the_receiver_says_when_python_is_too_old(tmp_path: Path) -> None:
    script = build_receiver("0" * 64, ["python3"]).replace("sys.version_info < (3, 9)", "sys.version_info < (9, 9)")
    env = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], input=b"", env=env, capture_output=True)
    assert done.returncode == OLD_PYTHON
    assert done.stderr.startswith(b"3.")


@pytest.mark.parametrize("raw", ["a/../b", "$(id)", ""], ids=["path", "shell", "empty"])
def test_a_job_id_that_is_no_name_never_reaches_a_shell(raw: str) -> None:
    with pytest.raises(BadInput):
        job_path(raw)
