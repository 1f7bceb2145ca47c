"""A guest with a real file system in a VM of the lab: it changes files, and a database that never stops writing.

No machine boots. All that it writes goes through the VM's real qemu, as a guest's writes do.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from lab.disks import LabDisk, make_disk, make_file_system
from lab.ovirt.lab import LabVm, OvirtLab
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_target

KiB, MiB = 1 << 10, 1 << 20
BLOCK = 4096
DATABASE, DATABASE_BYTES = "DATABASE.DAT", 4 * MiB


class LabGuest:
    """A GPT disk with an ext4 file system, and what happens in it. A second disk, when wanted, has ntfs."""

    def __init__(self, lab: OvirtLab, room: Path, name: str, *, seed: int = 1, ntfs: bool = False) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self._file_system = room / f"{name}.ext4"
        self.files = {f"report{n:02}.bin": self._noise(256 * KiB) for n in range(24)}
        self._disk = self._make(room / f"{name}.raw")
        disks = [{"content": self._disk.path, "bootable": True}]
        if ntfs:
            second = make_file_system(room / f"{name}.ntfs", "ntfs")
            disks.append({"content": make_disk(room / f"{name}-2.raw", "mbr", second, "ntfs").path, "bootable": False})
        self.vm: LabVm = lab.add_vm(
            name, disks, fqdn=f"{name}.example.com", ips=[f"192.0.2.{10 + seed}"], tags=["demo"], memory=512 * MiB
        )

    @property
    def root_disk(self) -> str:
        """The disk that files change on."""
        return self.vm.disks[0]

    def change_files(self, count: int = 4) -> int:
        """Write some files anew, through qemu; return the bytes that went to the disk."""
        before = self._file_system.read_bytes()
        for name in self._random.sample(sorted(self.files), count):
            self.files[name] = self._noise(256 * KiB)
            source = self._file_system.with_suffix(".new")
            source.write_bytes(self.files[name])
            _run("debugfs", "-w", "-f", "-", str(self._file_system), text=f"rm {name}\nwrite {source} {name}\nquit\n")
        return self._write_difference(before)

    @contextlib.contextmanager
    def database_running(self) -> Iterator[None]:
        """Write into the database's file all the time, until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run_database, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def read_files(self, disk: Path, room: Path) -> dict[str, str]:
        """Read the files out of a raw copy of the disk with e2fsprogs; give their digests."""
        out = room / f"{disk.name}-files"
        out.mkdir()
        commands = "".join(f"dump {name} {out / name}\n" for name in self.files)
        _run("debugfs", "-f", "-", f"{disk}?offset={self._disk.runs[0][0]}", text=commands + "quit\n")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}

    def digests(self) -> dict[str, str]:
        """Give the digests the files have now."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}

    def _make(self, path: Path) -> LabDisk:
        make_file_system(self._file_system, "ext4", {**self.files, DATABASE: self._random.randbytes(DATABASE_BYTES)})
        return make_disk(path, "gpt", self._file_system, "ext4")

    def _noise(self, up_to: int) -> bytes:
        return self._random.randbytes(self._random.randrange(1, up_to))

    def _run_database(self, stop: threading.Event) -> None:
        noise = random.Random(7)
        blocks = [int(block) for block in _run("debugfs", "-R", f"blocks {DATABASE}", str(self._file_system)).split()]
        with contextlib.closing(open_target(EndpointSpec("nbd", self.vm.guest_urls[self.root_disk]), 0)) as disk:
            connection = disk.connect()
            while not stop.wait(0.01):
                # Blocks the file has already: its content changes, the file system's structure does not.
                at = self._disk.runs[0][0] + noise.choice(blocks) * BLOCK
                connection.write(at, memoryview(noise.randbytes(BLOCK)))
            connection.close()

    def _write_difference(self, before: bytes) -> int:
        after, written = self._file_system.read_bytes(), 0
        with contextlib.closing(open_target(EndpointSpec("nbd", self.vm.guest_urls[self.root_disk]), 0)) as disk:
            connection = disk.connect()
            for at in range(0, len(after), BLOCK):
                if after[at : at + BLOCK] != before[at : at + BLOCK]:
                    connection.write(self._disk.runs[0][0] + at, memoryview(after)[at : at + BLOCK])
                    written += BLOCK
            connection.flush()
            connection.close()
        return written


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
