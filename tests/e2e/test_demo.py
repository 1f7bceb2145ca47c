"""Whenever the demo or the lab is interrupted, nothing of it is left: no process, no file, no socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.airflow.airflow_home import ROOT
from lab.airflow.installation import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def room() -> Iterator[Path]:
    """Where the demo puts what is temporary. Its path is short: sockets lie below it."""
    made = Path(tempfile.mkdtemp(prefix="vfd"))
    yield made
    shutil.rmtree(made)


def processes_of(room: Path) -> list[str]:
    """List the processes whose arguments or environment name the room."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if str(room).encode() in words + (entry / "environ").read_bytes():
                    found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def sockets_of(room: Path) -> list[str]:
    return [line for line in Path("/proc/net/unix").read_text().splitlines() if str(room) in line]


@pytest.mark.parametrize(
    ("words", "moment", "number"),
    [
        pytest.param([], "", signal.SIGTERM, id="demo-at-once"),
        pytest.param([], "1. Two sites and an Airflow start", signal.SIGINT, id="demo-while-sites-start"),
        pytest.param([], "Airflow: starting", signal.SIGTERM, id="demo-while-airflow-starts"),
        pytest.param([], "create_vm_snapshot", signal.SIGINT, id="demo-in-the-middle-of-a-backup"),
        pytest.param(["sites"], "making VMs", signal.SIGINT, id="lab-while-it-starts"),
        pytest.param(["sites"], "Ctrl-C ends it", signal.SIGTERM, id="lab-at-work"),
    ],
)
def test_an_interruption_leaves_nothing(room: Path, words: list[str], moment: str, number: signal.Signals) -> None:
    scratch, output = room / "tmp", room / "output"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": f"{ROOT}:{ROOT / 'provider'}"}
    with output.open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "lab.demo", *words], cwd=room, env=environment, stdout=out, stderr=out
        )

    def told() -> str:
        return output.read_text(errors="replace")

    try:
        wait_until(lambda: moment in told() or demo.poll() is not None, moment, timeout_s=600)
        if not moment:
            wait_until(lambda: list(scratch.iterdir()) != [], "the first thing to be there", timeout_s=60)
        assert demo.poll() is None, told()

        demo.send_signal(number)

        assert demo.wait(60) == 128 + number, told()
    finally:
        demo.kill()
        demo.wait()
    assert "nothing is left" in told()
    assert list(scratch.iterdir()) == []
    assert processes_of(room) == []
    assert sockets_of(room) == []
    assert not words or not (ROOT / "build" / "lab").is_symlink()
