"""Two commands that want the same thing at once: the second says who is at it, and changes nothing."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.jobs import wait_until

MiB = 1 << 20
BUSY = 5


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(random.Random(3).randbytes(24 * MiB))
    return path


def command(*words: object) -> list[str]:
    return [sys.executable, str(Path(sys.executable).with_name("vmferry")), *(str(word) for word in words)]


@contextlib.contextmanager
def slowly(words: list[str], environment: dict[str, str], has_begun: Callable[[], object]) -> Iterator[int]:
    """Run a command so slowly that it outlasts the block; gives its process id."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*words, "--rate", "64KiB"], env=environment, stdout=quiet, stderr=quiet)
    try:
        wait_until(has_begun, "the first one is at it")
        yield process.pid
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def run(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_two_adds_of_one_vm(tmp_path: Path, disk: Path, environment: dict[str, str]) -> None:
    add = command("vault", "add", tmp_path / "vault", "web01", f"root=raw:{disk}")
    with slowly(add, environment, lambda: list(tmp_path.glob("vault/web01/*/*/*/journal"))) as pid:
        before = sorted(tmp_path.glob("vault/**/*"))
        second = run([*add, "--incremental"], environment)
        assert second.returncode == BUSY, second.stderr
        assert re.search(rf"'web01' is busy: making a full backup \(host \S+, process {pid}, since ", second.stderr)
        assert sorted(tmp_path.glob("vault/**/*")) == before
        other = run(command("vault", "add", tmp_path / "vault", "db02", f"root=raw:{disk}"), environment)
        assert other.returncode == 0, other.stderr


@pytest.mark.parametrize("target", ["copy.raw", "copy.qcow2"])
@pytest.mark.parametrize("same", [True, False], ids=["same-command", "another-source"])
def test_two_copies_into_one_target(
    tmp_path: Path, disk: Path, environment: dict[str, str], target: str, same: bool
) -> None:
    other = tmp_path / "other.raw"
    other.write_bytes(random.Random(4).randbytes(MiB))
    words = command("disk", "copy", f"raw:{disk}", tmp_path / target)
    journals = tmp_path / "state"
    with slowly(words, environment, lambda: list(journals.rglob("journal"))) as pid:
        second = run(words if same else command("disk", "copy", f"raw:{other}", tmp_path / target), environment)
        assert second.returncode == BUSY, second.stderr
        said = "runs already" if same else "copy."
        assert said in second.stderr
        assert pid
