"""A copy was killed; when the same command is given again, its target is another one: nothing may be left out."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.jobs import wait_until
from lab.nbd import serve

MiB = 1 << 20
DISK_BYTES = 96 * MiB


def empty(path: Path) -> None:
    """Be made anew."""
    path.write_bytes(b"")
    os.truncate(path, DISK_BYTES)


def replace(path: Path) -> None:
    """Be another disk, in use before."""
    path.write_bytes(random.Random(9).randbytes(DISK_BYTES))


def spoil_the_middle(path: Path) -> None:
    """Be an older state of itself: as after going back to a snapshot."""
    with path.open("r+b") as file:
        file.write(random.Random(9).randbytes(DISK_BYTES // 2))


@pytest.mark.parametrize("spoil", [empty, replace, spoil_the_middle], ids=["empty", "another", "older"])
@pytest.mark.parametrize("kind", ["file", "nbd"])
def test_a_resumed_copy_looks_at_its_target_first(tmp_path: Path, kind: str, spoil: Callable[[Path], None]) -> None:
    disk, copy = tmp_path / "disk.raw", tmp_path / "copy.raw"
    disk.write_bytes(random.Random(8).randbytes(DISK_BYTES))
    empty(copy)
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    door = tmp_path / "q.sock"
    with serve(copy, socket_path=door) as server:
        where = server.url if kind == "nbd" else str(copy)
        program = [sys.executable, str(Path(sys.executable).with_name("vmferry"))]
        command = [*program, "disk", "copy", f"raw:{disk}", where]
        if kind == "file":
            server.kill()
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*command, "--rate", "40MiB"], env=environment, stdout=quiet, stderr=quiet)
        wait_until(lambda: any(path.stat().st_size > 20_000 for path in tmp_path.glob("state/**/journal")), "a commit")
        process.kill()
        process.wait()
        spoil(copy)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert copy.read_bytes() == disk.read_bytes()
