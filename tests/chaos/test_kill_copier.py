"""kill -9 of the copying process, at any moment: the same command goes on, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.counted import CountedDisk
from tests.chaos.disks import COMMIT_BYTES, Disk, MiB
from tests.chaos.moments import COPIER_KILLS, Moments, share
from tests.chaos.rooms import Room

from vmferry.vault import open_vault, verify

RATE = "70MiB"
VM = "web01"


class Way(ABC):
    """One kind of command, with a server that counts what it moves."""

    verb = "Read"

    def __init__(self, room: Room, disk: Disk) -> None:
        self.room, self.disk = room, disk
        self.out = room.path / "out"
        self.out.mkdir()

    @contextlib.contextmanager
    def counted(self) -> Iterator[CountedDisk]:
        """Serve the side that is counted."""
        with CountedDisk(self.room.path, "--readonly", "file", self.disk.path) as server:
            yield server

    @abstractmethod
    def command(self, server: CountedDisk) -> list[object]:
        """Say what is run, killed, and run again."""

    @abstractmethod
    def check(self, answer: Any) -> None:
        """Look at what came of it; `answer` is what the command printed at last."""

    def begin_again(self) -> None:
        """Take away what came of a run that was not killed in time."""
        for path in self.out.iterdir():
            path.unlink()


class CopyToRaw(Way):
    target = "disk.raw"
    flags: tuple[str, ...] = ()

    def command(self, server: CountedDisk) -> list[object]:
        return ["disk", "copy", server.url, self.out / self.target, "--rate", RATE, "--json", *self.flags]

    def check(self, answer: Any) -> None:
        assert answer["root"] == self.disk.root
        assert [path.name for path in self.out.iterdir()] == [self.target]
        self.disk.require_equal(self.read_back(self.out / self.target))

    def read_back(self, image: Path) -> Path:
        return image


class CopyToQcow2(CopyToRaw):
    target = "disk.qcow2"

    def read_back(self, image: Path) -> Path:
        return to_raw(image)


class CopyCompressed(CopyToQcow2):
    flags = ("--compress",)


class VaultAdd(Way):
    flags: tuple[str, ...] = ()

    def command(self, server: CountedDisk) -> list[object]:
        return ["vault", "add", self.out, VM, f"root={server.url}", "--rate", RATE, "--json", *self.flags]

    def check(self, answer: Any) -> None:
        (stored,) = answer["disks"]
        assert stored["root"] == self.disk.root
        assert verify(open_vault(self.out)).sound
        image = self.out / VM / answer["id"] / "root.qcow2"
        self.disk.require_equal(to_raw(image, self.room.path / "raw"))
        left = {path.name for path in (self.out / VM).iterdir() if not path.name.startswith(".")}
        assert left == {path.name for path in (self.out / VM).glob(f"{VM}_*Z_*")}
        assert {path.name for path in image.parent.iterdir()} == {
            "point.json", "root.qcow2", "root.proof", "vm.json", "RESTORE.md", "SHA256SUMS",
        }  # fmt: skip

    def begin_again(self) -> None:
        """Another backup of the same disk is as good."""


class VaultAddHealing(VaultAdd):
    """An incremental whose parent knows another disk: everything is read, half of it is stored."""

    flags = ("--incremental",)

    def __init__(self, room: Room, disk: Disk) -> None:
        super().__init__(room, disk)
        old = room.path / "old.raw"
        with old.open("wb") as file:
            file.write(disk.content[: 90 * MiB] + bytes(MiB) + disk.content[70 * MiB : 100 * MiB])
            file.truncate(disk.size_bytes)
        done = room.run("vault", "add", self.out, VM, f"root={old}")
        assert done.returncode == 0, done.stderr
        old.unlink()

    def check(self, answer: Any) -> None:
        assert answer["disks"][0]["mode"] == "incremental"
        super().check(answer)


class Restore(Way):
    verb = "Write"
    flags: tuple[object, ...] = ()

    def __init__(self, room: Room, disk: Disk) -> None:
        super().__init__(room, disk)
        self.vault = room.path / "vault"
        done = room.run("vault", "add", self.vault, VM, f"root=raw:{disk.path}")
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def counted(self) -> Iterator[CountedDisk]:
        self.served = self.room.path / "served.raw"
        with self.served.open("wb") as file:
            file.truncate(self.disk.size_bytes)
        with CountedDisk(self.room.path, "file", self.served) as server:
            yield server

    def command(self, server: CountedDisk) -> list[object]:
        return ["vault", "restore", self.vault, VM, f"root={server.url}", "--rate", RATE, "--json", *self.flags]

    def check(self, answer: Any) -> None:
        assert answer[0]["root"] == self.disk.root
        self.disk.require_equal(self.served)
        assert [path for path in self.out.rglob("*") if path.is_file()] == []

    def begin_again(self) -> None:
        """The same disk once more is as good."""


class RestoreWithJob(Restore):
    def __init__(self, room: Room, disk: Disk) -> None:
        super().__init__(room, disk)
        self.flags = ("--job", self.out / "job")


WAYS: dict[str, type[Way]] = {
    "copy-to-raw": CopyToRaw,
    "copy-to-qcow2": CopyToQcow2,
    "copy-compressed": CopyCompressed,
    "vault-add": VaultAdd,
    "vault-add-incremental": VaultAddHealing,
    "vault-restore": Restore,
    "vault-restore-job": RestoreWithJob,
}


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", WAYS)
def test_a_killed_command_goes_on_when_given_again(name: str, room: Room, disk: Disk) -> None:
    wanted = share(COPIER_KILLS, len(WAYS), list(WAYS).index(name))
    moments = Moments(name, most_bytes=disk.size_bytes // 2, most_s=4.0)
    way = WAYS[name](room, disk)
    with way.counted() as server:
        killed = 0
        while killed < wanted:
            killed += kill_for_a_while(way, server, moments, wanted - killed)
        room.require_nothing_left([server.pid], sockets=[server.socket_path])


def kill_for_a_while(way: Way, server: CountedDisk, moments: Moments, wanted: int) -> int:
    """Run one command to its end, through some kills; gives how many."""
    server.log.write_text("")
    history: list[str] = []
    while len(history) < min(wanted, 5):
        moment = moments.draw()
        process = way.room.start(*way.command(server))
        if not moment.wait(lambda: server.moved(way.verb).total_bytes, lambda: process.poll() is not None):  # noqa: B023
            break
        process.kill()
        process.communicate()
        history.append(str(moment))
        way.room.require_no_process([server.pid])
    else:
        process = way.room.start(*way.command(server))
    out, err = process.communicate()
    assert process.returncode == 0, f"{history}: {err}"
    moved = server.moved(way.verb)
    print(f"{len(history)} kills, {moved.twice_bytes / MiB:.1f} MiB moved twice: {history}")
    assert moved.twice_bytes <= COMMIT_BYTES * len(history), history
    way.check(json.loads(out))
    way.begin_again()
    return len(history)


def to_raw(image: Path, raw: Path | None = None) -> Path:
    raw = raw or image.parent.parent / "readback.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    return raw
