"""What happens to a disk while it is copied is noticed: no copy is called done that is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Run

from vmferry.engine.jobs import JobDirectory, set_rate

MiB = 1 << 20
DEADLINE_S = 60.0


def _change(source: Path, target: Path) -> None:
    with source.open("r+b") as file:
        file.seek(23 * MiB)
        file.write(b"x")


def _shorten(source: Path, target: Path) -> None:
    os.truncate(source, 5 * MiB)


def _remove_target(source: Path, target: Path) -> None:
    target.unlink()


def _replace_target(source: Path, target: Path) -> None:
    other = target.with_name("other")
    other.write_bytes(b"somebody else's")
    other.replace(target)


def _rename_both(source: Path, target: Path) -> None:
    source.rename(source.with_name("moved-source"))
    target.rename(target.with_name("moved-target"))


def _wait_until_written(target: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not (target.exists() and target.stat().st_blocks * 512 > MiB):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("source_name", "target_name", "happens", "code", "words"),
    [
        ("disk.raw", "new.raw", _change, 3, "disk.raw was changed while it was read"),
        ("disk.raw", "new.qcow2", _shorten, 3, "disk.raw ends at"),
        ("disk.raw", "new.raw", _remove_target, 3, "new.raw was removed while it was written"),
        ("disk.raw", "new.qcow2", _remove_target, 3, "new.qcow2 was removed while it was written"),
        ("disk.raw", "new.raw", _replace_target, 3, "new.raw was removed while it was written"),
        ("disk.raw", "new.raw", _rename_both, 0, ""),
    ],
    ids=["changed", "shortened", "raw-removed", "qcow2-removed", "replaced", "renamed"],
)
def test_a_change_under_a_running_copy_is_noticed(
    tmp_path: Path, source_name: str, target_name: str, happens: Callable[[Path, Path], None], code: int, words: str
) -> None:
    source, target, job = tmp_path / source_name, tmp_path / target_name, tmp_path / "job"
    source.write_bytes(os.urandom(24 * MiB))
    program = str(Path(sys.executable).with_name("vmferry"))
    command = [program, "disk", "copy", str(source), str(target), "--rate", "1MiB", "--job", str(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_until_written(target, process)
        happens(source, target)
        set_rate(JobDirectory(job), None)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, err
    assert words in err


def test_a_backup_of_a_disk_that_changed_is_not_published(tmp_path: Path, vmferry: Run) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(os.urandom(24 * MiB))
    program = str(Path(sys.executable).with_name("vmferry"))
    command = [program, "vault", "add", str(tmp_path / "vault"), "vm", f"root={source}", "--rate", "6MiB"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not list((tmp_path).glob("vault/vm/*/.work/*/journal")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        _change(source, source)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3, err
    assert "was changed while it was read" in err
    assert vmferry("vault", "ls", "vault", "--json").json() == []
    vmferry("vault", "add", "vault", "vm", f"root={source}")
    assert len(vmferry("vault", "ls", "vault", "--json").json()) == 1
