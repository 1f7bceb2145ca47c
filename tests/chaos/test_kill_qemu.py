"""kill -9 of qemu-nbd: of servers of others, and of the private ones that an image is read or written through."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.counted import CountedDisk
from lab.nbd import NbdServer
from tests.chaos.disks import COMMIT_BYTES, Disk, MiB
from tests.chaos.moments import SERVER_KILLS, Moments, share
from tests.chaos.rooms import Room

RATE = "70MiB"
VM = "web01"


class Case:
    """One copy with a qemu-nbd on one side, and a server that counts on the other."""

    def __init__(self, room: Room, disk: Disk, kind: str) -> None:
        self.room, self.disk, self.kind = room, disk, kind
        self.reads = kind.startswith("source") or kind == "restore-child"
        """The side of qemu-nbd that is read; so writes are counted."""
        self.image = room.path / f"disk.{'qcow2' if 'child' in kind else 'raw'}"
        self.served = room.path / "served.raw"
        self.qemu: NbdServer | None = None

    @contextlib.contextmanager
    def counted(self) -> Iterator[CountedDisk]:
        """Serve the other side."""
        self._prepare()
        path = self.served if self.reads else self.disk.path
        with CountedDisk(self.room.path, *([] if self.reads else ["--readonly"]), "file", path) as server:
            yield server

    def _prepare(self) -> None:
        if self.reads:
            make_hole(self.served, self.disk.size_bytes)
        if self.kind == "source-child":
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.disk.path, self.image)
            make_hole(self.served, -(-self.disk.size_bytes // 512) * 512)
        elif self.kind == "restore-child":
            assert (
                self.room.run("vault", "add", self.room.path / "vault", VM, f"root=raw:{self.disk.path}").returncode
                == 0
            )
        elif self.kind == "source-server":
            self.qemu = NbdServer(self.disk.path, socket_path=self.room.path / "qemu.sock", read_only=True)
            make_hole(self.served, -(-self.disk.size_bytes // 512) * 512)
        elif self.kind == "target-server":
            make_hole(self.image, self.disk.size_bytes)
            self.qemu = NbdServer(self.image, socket_path=self.room.path / "qemu.sock")
        if self.qemu:
            self.qemu.start()

    def command(self, counted: CountedDisk) -> list[object]:
        rate = ["--rate", RATE, "--json"]
        if self.kind == "restore-child":
            job = ["--job", self.room.path / "job"]
            return ["vault", "restore", self.room.path / "vault", VM, f"root={counted.url}", *job, *rate]
        here = self.qemu.url if self.qemu else self.image
        return ["disk", "copy", here, counted.url, *rate] if self.reads else ["disk", "copy", counted.url, here, *rate]

    def shoot(self, known: list[int]) -> bool:
        """Kill the qemu-nbd; False when there is none just now."""
        if self.qemu:
            self.qemu.kill()
            self.qemu.start()
            return True
        victims = [pid for pid, words in self.room.processes(known).items() if words.split()[0].endswith("qemu-nbd")]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def check(self, root: str) -> None:
        if self.kind in ("source-child", "source-server"):
            assert self.served.read_bytes()[: self.disk.size_bytes] == self.disk.content
            return
        assert root == self.disk.root
        if self.kind == "target-child":
            run("qemu-img", "convert", "-O", "raw", self.image, self.served)
        self.disk.require_equal(self.image if self.kind == "target-server" else self.served)


KINDS = ("source-server", "target-server", "source-child", "target-child", "restore-child")


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_qemu_nbd_costs_no_more_than_what_was_not_committed(kind: str, room: Room, disk: Disk) -> None:
    wanted = share(SERVER_KILLS, len(KINDS), KINDS.index(kind))
    moments = Moments(f"qemu {kind}", most_bytes=disk.size_bytes // 3, most_s=2.0)
    case = Case(room, disk, kind)
    verb = "Write" if case.reads else "Read"
    history: list[str] = []
    with case.counted() as counted, contextlib.ExitStack() as open_things:
        if case.qemu:
            open_things.callback(case.qemu.stop)
        process = room.start(*case.command(counted))
        attempts = 1
        while len(history) < wanted:
            moment = moments.draw()
            if moment.wait(lambda: counted.moved(verb).total_bytes, lambda: process.poll() is not None):  # noqa: B023
                if case.shoot([process.pid, counted.pid, *([case.qemu.pid] if case.qemu else [])]):
                    history.append(str(moment))
            elif process.returncode == 3:
                process.communicate()
                process, attempts = room.start(*case.command(counted)), attempts + 1
            else:
                break  # a fast machine is done with what a kill left before the next one comes
        assert history, "all was done before the first kill"
        out, err = process.communicate()
        while process.returncode == 3:
            assert attempts <= 2 * wanted + 1, f"{history}: {err}"
            process, attempts = room.start(*case.command(counted)), attempts + 1
            out, err = process.communicate()
        assert process.returncode == 0, f"{history}: {err}"
        moved = counted.moved(verb)
        print(f"{kind}: {len(history)} kills, {attempts} attempts, {moved.twice_bytes / MiB:.1f} MiB moved twice")
        assert moved.twice_bytes <= COMMIT_BYTES * len(history), history
        known = [counted.pid, *([case.qemu.pid] if case.qemu else [])]
        sockets = [counted.socket_path, *([case.qemu.socket_path] if case.qemu and case.qemu.socket_path else [])]
        room.require_nothing_left(known, sockets=sockets)
    answer = json.loads(out)
    case.check((answer[0] if isinstance(answer, list) else answer)["root"])


def make_hole(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(size_bytes)


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)
