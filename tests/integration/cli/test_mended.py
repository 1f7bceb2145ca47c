"""Small things that once went wrong: each says what is the matter, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.http import HttpServer
from lab.nbd import serve
from tests.integration.cli.conftest import Run

from vmferry.vault import DiskInfo, begin_point, open_vault
from vmferry.vault.layout import backup_dirs

MiB = 1 << 20
NOBODY = 65534
DEADLINE_S = 60.0


def test_a_job_that_is_not_there_cannot_be_forgotten(vmferry: Run) -> None:
    assert "no job" in vmferry("job", "forget", "nowhere", code=2).err


def test_a_person_between_two_steps_of_another_discards_nothing(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    point = begin_point(open_vault(tmp_path / "vault"), "web01", [DiskInfo("root")], owner="backup_web01/run")
    answer = vmferry("vault", "add", "vault", "web01", f"root={disk}", code=5)
    assert "backup_web01/run is writing backup" in answer.err
    assert (point.dir / ".work" / "plan.json").exists()


def test_a_backup_of_the_last_second_of_the_calendar_is_named(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    vmferry("vault", "add", "vault", "web01", f"root={disk}")
    (made,) = backup_dirs(tmp_path / "vault" / "web01")
    made.rename(made.with_name("web01_99991231T235959Z_full"))
    answer = vmferry("vault", "add", "vault", "web01", f"root={disk}", code=2)
    assert "web01_99991231T235959Z_full" in answer.err
    assert "move that directory" in answer.err


def test_headers_and_trust_reach_every_disk_of_a_backup(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    with HttpServer() as server:
        server.required_header = ("Authorization", "Bearer planted-header")
        for name in ("a", "b"):
            server.put(f"/{name}.raw", disk)
        sources = [f"{name}={server.url}/{name}.raw?signature=planted-{name}" for name in ("a", "b")]
        answer = vmferry("vault", "add", "vault", "web01", *sources, "--headers", "-", "--json",
                         stdin="Authorization: Bearer planted-header\n")  # fmt: skip
    roots = {one["name"]: one["root"] for one in answer.json()["disks"]}
    assert roots["a"] == roots["b"]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "vault").rglob("*.json"))
    assert b"planted" not in kept
    assert "planted" not in answer.out + answer.err


def test_an_image_behind_a_url_is_inspected_where_it_is(tmp_path: Path, vmferry: Run) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "image.qcow2", "9M"], cwd=tmp_path, check=True)
    here = vmferry("disk", "inspect", "image.qcow2", "--json").json()
    with HttpServer() as server:
        server.put("/image.qcow2", tmp_path / "image.qcow2")
        there = vmferry("disk", "inspect", f"{server.url}/image.qcow2", "--json").json()
    assert (there["format"], there["virtual_size_bytes"]) == (here["format"], here["virtual_size_bytes"])
    with serve(tmp_path / "image.qcow2", socket_path=tmp_path / "socket"):
        over_nbd = vmferry("disk", "inspect", f"nbd+unix:///?socket={tmp_path / 'socket'}", "--json").json()
    assert over_nbd["format"] == "qcow2"
    assert "copy it first" in vmferry("disk", "fsck", "nbd://host/disk", code=2).err


def test_a_killed_compare_leaves_its_scratch_only_until_the_next(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (tmp_path / "big.raw").open("wb") as file:
        file.write(os.urandom(64 * MiB))
    while not list(scratch.iterdir()):  # again, should it have ended before it could be killed
        kill_a_compare(tmp_path, scratch)
    vmferry("disk", "compare", disk, disk, TMPDIR=str(scratch))
    assert list(scratch.iterdir()) == []


def kill_a_compare(directory: Path, scratch: Path) -> None:
    command = [str(Path(sys.executable).with_name("vmferry")), "disk", "compare", "big.raw", "big.raw"]
    process = subprocess.Popen(command, cwd=directory, env={**os.environ, "TMPDIR": str(scratch)})
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and not list(scratch.iterdir()):
        assert time.monotonic() < deadline
    process.kill()
    process.wait()


@pytest.fixture
def open_room(vmferry: Run, disk: Path) -> Iterator[Path]:
    """A vault below a directory that everybody may enter."""
    room = Path(tempfile.mkdtemp(prefix="vmferry-test-"))
    room.chmod(0o755)
    vmferry("vault", "add", room / "vault", "web01", f"root={disk}")
    yield room / "vault"
    shutil.rmtree(room)


def test_what_may_not_be_read_is_not_called_damaged(open_room: Path, tmp_path: Path) -> None:
    for path in open_room.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (image,) = open_room.rglob("root.qcow2")
    image.chmod(0)
    # Nobody may not even start this Python: it becomes nobody once everything is imported.
    code = (
        "import os, sys; from vmferry.vault import open_vault; from vmferry.vault.verification import verify\n"
        "from vmferry.engine.errors import Unreadable\n"
        f"if os.getuid() == 0: verify(open_vault(sys.argv[1])); os.setuid({NOBODY})\n"
        "try: print(verify(open_vault(sys.argv[1])).to_json())\n"
        "except Unreadable as error: print('refused:', error)\n"
    )
    command = [sys.executable, "-c", code, str(open_room)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused: "), done.stdout
    assert f"may not read {image}" in done.stdout
