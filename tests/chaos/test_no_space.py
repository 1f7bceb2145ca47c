"""The target fills up half-way: exit 4 and a word on how to go on; once there is room, the same command goes on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.nbd import serve
from tests.chaos.disks import Disk
from tests.chaos.rooms import Room

from vmferry.vault import open_vault, restore, verify

VM = "web01"


@pytest.fixture
def small(room: Room) -> Iterator[Path]:
    """A file system with less room than the disk has data."""
    place = room.path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m", "vmferry-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def make_room(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=400m", place], check=True)


COMMANDS = {
    "raw": ("disk", "copy", "raw:{disk}", "{small}/copy.raw"),
    "qcow2": ("disk", "copy", "raw:{disk}", "{small}/copy.qcow2"),
    "qcow2-compressed": ("disk", "copy", "raw:{disk}", "{small}/copy.qcow2", "--compress"),
    "nbd": ("disk", "copy", "raw:{disk}", "nbd+unix:///?socket={room}/q.sock"),
    "vault-add": ("vault", "add", "{small}/vault", VM, "root=raw:{disk}"),
    "vault-restore": ("vault", "restore", "{room}/vault", VM, "root={small}/copy.raw"),
}


@pytest.mark.chaos
@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_target_is_a_pause(name: str, room: Room, small: Path, disk: Disk) -> None:
    if name == "vault-restore":
        assert room.run("vault", "add", room.path / "vault", VM, f"root=raw:{disk.path}").returncode == 0
    command = [word.format(disk=disk.path, small=small, room=room.path) for word in COMMANDS[name]]
    served = small / "served.raw"
    with served.open("wb") as file:
        file.truncate(disk.size_bytes)
    with serve(served, socket_path=room.path / "q.sock") as server:
        full = room.run(*command)
        assert full.returncode == 4, full.stderr
        assert "goes on where it stopped" in full.stderr
        room.require_no_process([server.pid])
        make_room(small)
        done = room.run(*command, "--json")
        assert done.returncode == 0, done.stderr
        assert server.socket_path is not None
        room.require_nothing_left([server.pid], sockets=[server.socket_path])
    answer = json.loads(done.stdout)
    counts = answer["disks"][0] if name == "vault-add" else answer[0] if name == "vault-restore" else answer
    assert counts["resumed_bytes"] > 0
    assert counts["root"] == disk.root
    disk.require_equal(read_back(name, small, served, room))


def read_back(name: str, small: Path, served: Path, room: Room) -> Path:
    raw = room.path / "readback.raw"
    if name == "nbd":
        return served
    if name == "vault-add":
        assert verify(open_vault(small / "vault")).sound
        from vmferry.engine.endpoint import EndpointSpec

        restore(open_vault(small / "vault"), VM, {"root": EndpointSpec("file", str(raw))})
        return raw
    if name.startswith("qcow2"):
        subprocess.run(["qemu-img", "convert", "-O", "raw", small / "copy.qcow2", raw], check=True)
        return raw
    return small / "copy.raw"
