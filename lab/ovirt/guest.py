"""A guest with real file systems in a VM of the lab: it changes files, and it has a database that never stops writing.

No machine boots. All that it writes goes through the VM's real qemu, as a guest's writes do. When the engine asks the
guest's agent to freeze the file systems, the guest writes nothing until they are thawed, and notes what it holds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab.ovirt.lab import LabVm, OvirtLab
from lab.ovirt.volumes import VOLUMES, GuestVolume

_PAGES_AT_ONCE = 8
_FILES_EVERY_S = 2.0
_DATABASE_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class FrozenMoment:
    """What the guest held while its file systems were frozen."""

    at: float
    """Unix time."""
    manifests: tuple[dict[str, str], ...]
    """Per disk: the digest of each file."""


@dataclass(slots=True)
class Written:
    """What the writer has done so far."""

    files: int = 0
    pages: int = 0
    bytes: int = 0


@dataclass
class LabGuest:
    """A VM with a disk for each of `kinds`: ext4 (on GPT), xfs (on the bare disk), ntfs (on MBR)."""

    lab: OvirtLab
    room: Path
    name: str
    seed: int = 1
    kinds: Sequence[str] = ("ext4",)
    moments: list[FrozenMoment] = field(default_factory=list)
    written: Written = field(default_factory=Written)
    on_freeze: Callable[[LabGuest], None] = lambda _: None
    """Called while it is frozen."""

    def __post_init__(self) -> None:
        self._may_write = threading.Lock()
        self._is_frozen = False
        self.volumes: list[GuestVolume] = [
            VOLUMES[kind](self.room / f"{self.name}-{number}.raw", self.seed) for number, kind in enumerate(self.kinds)
        ]
        disks = [{"content": one.disk.path, "bootable": not number} for number, one in enumerate(self.volumes)]
        address = f"192.0.2.{10 + self.seed}"
        self.vm: LabVm = self.lab.add_vm(
            self.name, disks, fqdn=f"{self.name}.example.com", ips=[address], tags=["demo"], memory=512 << 20
        )
        for volume, disk in zip(self.volumes, self.vm.disks, strict=True):
            volume.url = self.vm.guest_urls[disk]
            volume.disk.path.unlink()  # from here on the VM has the disk
        self.lab.guests[self.vm.id] = self

    @property
    def root_disk(self) -> str:
        """The disk that files change on."""
        return self.vm.disks[0]

    def change_files(self, count: int = 4) -> int:
        """Write some files of the first disk anew, through qemu; return the bytes that went to the disk."""
        with self._may_write:
            return self._change_files(count)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Change files and write into the database all the time, until the block ends."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(self._write, stop)
            try:
                yield
            finally:
                stop.set()
                writer.result()  # raises what stopped it

    def freeze(self) -> None:
        """Write nothing until `thaw`."""
        self._may_write.acquire()
        self._is_frozen = True
        try:
            self.moments.append(FrozenMoment(time.time(), tuple(one.manifest() for one in self.volumes)))
            self.on_freeze(self)
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Go on; may be called twice."""
        if self._is_frozen:
            self._is_frozen = False
            self._may_write.release()

    def close(self) -> None:
        """Hang up."""
        for volume in self.volumes:
            volume.close()

    def _change_files(self, count: int) -> int:
        done = self.volumes[0].change_files(count)
        self.written.files += count
        self.written.bytes += done
        return done

    def _write(self, stop: threading.Event) -> None:
        database, next_files = [one for one in self.volumes if one.is_written][-1], 0.0
        while not stop.wait(_DATABASE_EVERY_S):
            if not self._may_write.acquire(timeout=0.2):  # frozen
                continue
            try:
                self.written.bytes += database.write_database(_PAGES_AT_ONCE)
                self.written.pages += _PAGES_AT_ONCE
                if time.monotonic() >= next_files:
                    self._change_files(1)
                    next_files = time.monotonic() + _FILES_EVERY_S
            finally:
                self._may_write.release()
