from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.jobs import wait_until
from lab.sshd import Sshd

from vmferry.engine.jobs import list_jobs
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.zipapp import Zipapp, cached_zipapp


def bare_pythons() -> list[tuple[str, ...]]:
    """List Pythons to run the engine under, without any installed package: ours, and 3.9 where there is one."""
    found: list[tuple[str, ...]] = [(sys.executable, "-I", "-S")]
    oldest = shutil.which("python3.9")
    # A version manager's shim may stand in for a Python that is not chosen.
    if oldest and subprocess.run([oldest, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0:
        found.append((oldest, "-I", "-S"))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bare_python" in metafunc.fixturenames:
        pythons = bare_pythons()
        metafunc.parametrize("bare_python", pythons, ids=["this-python", "python3.9"][: len(pythons)])


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd
        _stop_jobs(sshd.jobs)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Zipapp:
    return cached_zipapp(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def host(sshd: Sshd, engine: Zipapp) -> Iterator[SshHost]:
    with SshHost(sshd.settings(), engine=engine) as host:
        yield host


def _stop_jobs(root: Path) -> None:
    for pid in [status.pid for status in list_jobs(root) if status.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(status.pid for status in list_jobs(root)), "the jobs are gone")
