"""The guest of the demo: an ext4 file system with files it changes, and a database that never stops writing.

Its disk is served by a real qemu, and every byte it changes goes through that.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.hypervisor import Hypervisor
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_target

MiB = 1 << 20
BLOCK = 4096
DISK_BYTES = 768 * MiB
FS_OFFSET, FS_BYTES = MiB, 700 * MiB
DATABASE, DATABASE_BYTES = "database.dat", 48 * MiB


class Guest:
    """Makes the disk, and changes it as a running VM does."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._fs = room / "guest-fs.raw"
        self._random = random.Random(2026)
        self.image = room / "web01.qcow2"
        self.files = {
            f"report{n:02}.bin": self._random.randbytes(self._random.randrange(1, 4 * MiB)) for n in range(40)
        }

    def install(self) -> None:
        """Make the disk: GPT, an ext4 partition with files, and one large file that the database writes into."""
        folder, raw = self._room / "files", self._room / "web01.raw"
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        (folder / DATABASE).write_bytes(self._random.randbytes(DATABASE_BYTES))
        with self._fs.open("wb") as file:
            file.truncate(FS_BYTES)
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-d", str(folder), str(self._fs))
        with raw.open("wb") as file:
            file.truncate(DISK_BYTES)
        sectors = f"{FS_OFFSET // 512}:{(FS_OFFSET + FS_BYTES) // 512 - 1}"
        run("sgdisk", "-n", f"1:{sectors}", "-t", "1:8300", str(raw))
        run("dd", f"if={self._fs}", f"of={raw}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(self.image))
        raw.unlink()

    def change_files(self, hypervisor: Hypervisor, names: int) -> int:
        """Write some files anew and give the bytes that went to the disk."""
        before = self._fs.read_bytes()
        for name in self._random.sample(sorted(self.files), names):
            content = self._random.randbytes(self._random.randrange(1, 2 * MiB))
            source = self._room / "new-file"
            source.write_bytes(content)
            commands = f"rm {name}\nwrite {source} {name}\nquit\n"
            run("debugfs", "-w", "-f", "-", str(self._fs), text=commands)
            self.files[name] = content
        return self._write_difference(before, hypervisor)

    @contextlib.contextmanager
    def database_running(self, hypervisor: Hypervisor) -> Iterator[None]:
        """Write into the database's file all the time, until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run_database, args=(hypervisor, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run_database(self, hypervisor: Hypervisor, stop: threading.Event) -> None:
        noise = random.Random(7)
        blocks = [int(block) for block in run("debugfs", "-R", f"blocks {DATABASE}", str(self._fs)).split()]
        with contextlib.closing(open_target(EndpointSpec("nbd", hypervisor.guest_url), 0)) as disk:
            connection = disk.connect()
            while not stop.wait(0.01):
                # Blocks the file has already: its content changes, the file system's structure does not.
                at = FS_OFFSET + noise.choice(blocks) * BLOCK
                connection.write(at, memoryview(noise.randbytes(BLOCK)))
            connection.close()

    def _write_difference(self, before: bytes, hypervisor: Hypervisor) -> int:
        after, written = self._fs.read_bytes(), 0
        with contextlib.closing(open_target(EndpointSpec("nbd", hypervisor.guest_url), 0)) as disk:
            connection = disk.connect()
            for at in range(0, len(after), BLOCK):
                if after[at : at + BLOCK] != before[at : at + BLOCK]:
                    connection.write(FS_OFFSET + at, memoryview(after)[at : at + BLOCK])
                    written += BLOCK
            connection.flush()
            connection.close()
        return written


def read_files(disk: Path, names: Mapping[str, bytes], room: Path) -> dict[str, str]:
    """Read files out of a raw disk's ext4 with e2fsprogs, no kernel involved; give their digests."""
    out = room / "read-back"
    out.mkdir()
    commands = "".join(f"dump {name} {out / name}\n" for name in names)
    run("debugfs", "-f", "-", f"{disk}?offset={FS_OFFSET}", text=commands + "quit\n")
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names if (out / name).exists()}


def run(*command: str, text: str = "") -> str:
    """Run a tool, stop when it fails, and give what it printed."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
