"""The file systems of a guest of the lab: real ones, made by their makers, changed by writes through the VM's qemu."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab import xfs_files
from lab.disks import LabDisk, make_disk, make_file_system
from vmferry.engine.endpoint import Connection, Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_target

KiB, MiB = 1 << 10, 1 << 20
BLOCK = 4096
_SMALLEST_BLOCK = 1 * KiB
DATABASE = "DATABASE.DAT"


class GuestVolume:
    """One disk with one file system, as it was made. What it holds is known from what was written, never read back."""

    kind = ""
    table = "gpt"
    files_bytes, database_bytes = 256 * KiB, 4 * MiB
    is_written = True

    def __init__(self, path: Path, seed: int) -> None:
        self.random = random.Random(f"{self.kind} {seed}")
        self.path = path.with_suffix(f".{self.kind}")
        self.files = {name: bytearray(content) for name, content in self.first_files().items()}
        make_file_system(self.path, self.kind, {name: bytes(content) for name, content in self.files.items()})
        self.disk: LabDisk = make_disk(path, self.table, self.path, self.kind)
        self.url = ""
        """Where the guest writes, as an NBD URL."""
        self._pages = self.find_database()
        self._open: tuple[Endpoint, Connection] | None = None

    def first_files(self) -> dict[str, bytes]:
        """Name the files and what they hold at first."""
        files = {f"report{number:02}.bin": self.noise() for number in range(24)}
        return {**files, DATABASE: self.random.randbytes(self.database_bytes)}

    def noise(self) -> bytes:
        """Give new content for a file."""
        return self.random.randbytes(self.random.randrange(1, self.files_bytes))

    def write(self, writes: dict[int, bytes]) -> int:
        """Write as the guest does: offsets are inside the file system. Give the bytes written."""
        if self._open is None:
            disk = open_target(EndpointSpec("nbd", self.url), 0)
            self._open = (disk, disk.connect())
        _, connection = self._open
        for at, data in writes.items():
            connection.write(self.disk.offset_of(at), memoryview(data))
        connection.flush()
        return sum(map(len, writes.values()))

    def close(self) -> None:
        """Hang up; the next write dials again."""
        if self._open is not None:
            disk, connection = self._open
            self._open = None
            connection.close()
            disk.close()

    def write_database(self, pages: int) -> int:
        """Write pages of the database anew: blocks the file has already, so that the file system stays as it is."""
        database, writes = self.files[DATABASE], {}
        for number in self.random.sample(range(len(database) // BLOCK), pages):
            page = self.random.randbytes(BLOCK)
            database[number * BLOCK : (number + 1) * BLOCK] = page
            writes[self._pages[number]] = page
        return self.write(writes)

    def find_database(self) -> tuple[int, ...]:
        """Say where the database's pages lie in the file system."""
        return ()

    def change_files(self, count: int) -> int:
        """Write some files anew; give the bytes that went to the disk."""
        raise NotImplementedError

    def read_files(self, raw: Path, room: Path) -> dict[str, bytes]:
        """Read all files out of a raw copy of the disk with the file system's own tools."""
        raise NotImplementedError

    def manifest(self) -> dict[str, str]:
        """Give the digests the files have now."""
        return digests(self.files)


class Ext4Volume(GuestVolume):
    """ext4 on GPT: files are removed and written anew by debugfs, and what that changed goes to the VM's disk."""

    kind = "ext4"

    def find_database(self) -> tuple[int, ...]:
        """Ask debugfs. On a small file system a page is several blocks, one after the other."""
        blocks = [int(one) for one in _run("debugfs", "-R", f"blocks {DATABASE}", str(self.path)).split()]
        per_page = len(blocks) * BLOCK // self.database_bytes
        pages = [blocks[at : at + per_page] for at in range(0, len(blocks), per_page)]
        if any(page != list(range(page[0], page[0] + per_page)) for page in pages):
            raise RuntimeError(f"{self.path}: a page of {DATABASE} lies in pieces")
        return tuple(page[0] * (BLOCK // per_page) for page in pages)

    def change_files(self, count: int) -> int:
        """Write some files anew; give the bytes that went to the disk."""
        before, source = self.path.read_bytes(), self.path.with_suffix(".new")
        for name in self.random.sample(sorted(self.files.keys() - {DATABASE}), count):
            self.files[name] = bytearray(self.noise())
            source.write_bytes(self.files[name])
            _run("debugfs", "-w", "-f", "-", str(self.path), text=f"rm {name}\nwrite {source} {name}\nquit\n")
        source.unlink(missing_ok=True)
        after = self.path.read_bytes()
        # By the smallest blocks there are: the next one may be the database's, which is not kept in this copy.
        steps = range(0, len(after), _SMALLEST_BLOCK)
        changed = (at for at in steps if after[at : at + _SMALLEST_BLOCK] != before[at : at + _SMALLEST_BLOCK])
        return self.write({at: after[at : at + _SMALLEST_BLOCK] for at in changed})

    def read_files(self, raw: Path, room: Path) -> dict[str, bytes]:
        """Read all files out of a raw copy of the disk."""
        names = [line.split("/")[5] for line in _run("debugfs", "-R", "ls -p /", self._inside(raw)).split("\n") if line]
        out = room / f"{raw.name}-files"
        out.mkdir()
        wanted = sorted(set(names) - {".", "..", "lost+found"})
        commands = "".join(f"dump {name} {out / name}\n" for name in wanted)
        _run("debugfs", "-f", "-", self._inside(raw), text=commands + "quit\n")
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    def _inside(self, raw: Path) -> str:
        return f"{raw}?offset={self.disk.runs[0][0]}"


class XfsVolume(GuestVolume):
    """xfs on the whole disk, as databases often have it; its files are overwritten in place."""

    kind = "xfs"
    table = "bare"
    database_bytes = 8 * MiB

    def find_database(self) -> tuple[int, ...]:
        """Ask xfs_db."""
        return xfs_files.find_files(self.path)[DATABASE].blocks

    def change_files(self, count: int) -> int:
        """Write some files anew; give the bytes that went to the disk."""
        where = xfs_files.find_files(self.path)
        writes: dict[int, bytes] = {}
        for name in self.random.sample(sorted(self.files.keys() - {DATABASE}), count):
            self.files[name] = content = bytearray(self.random.randbytes(len(self.files[name])))
            writes |= {at: bytes(content[n * BLOCK : (n + 1) * BLOCK]) for n, at in enumerate(where[name].blocks)}
        return self.write(writes)

    def read_files(self, raw: Path, room: Path) -> dict[str, bytes]:
        """Read all files out of a raw copy of the disk."""
        return dict(xfs_files.read_files(raw))


class NtfsVolume(GuestVolume):
    """ntfs on MBR, which nobody writes to."""

    kind = "ntfs"
    table = "mbr"
    is_written = False

    def first_files(self) -> dict[str, bytes]:
        """Name the files and what they hold."""
        return {f"letter{number:02}.txt": self.noise() for number in range(8)}

    def read_files(self, raw: Path, room: Path) -> dict[str, bytes]:
        """Read all files out of a raw copy of the disk."""
        fs = room / f"{raw.name}.ntfs"
        with raw.open("rb") as source:
            source.seek(self.disk.runs[0][0])
            fs.write_bytes(source.read(self.disk.runs[0][1]))
        names = sorted(self.files)
        return {name: subprocess.run(["ntfscat", fs, name], capture_output=True, check=True).stdout for name in names}


VOLUMES = {one.kind: one for one in (Ext4Volume, XfsVolume, NtfsVolume)}


def digests(files: Mapping[str, bytes | bytearray]) -> dict[str, str]:
    """Hash files."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def _run(*command: str, text: str = "") -> str:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
