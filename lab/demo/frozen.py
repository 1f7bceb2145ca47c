"""A witness of production's frozen moments: it copies what the guest holds while its file systems are frozen.

It reads what the guest itself reads and writes, with nbdcopy: neither the engine's point, nor imageio, nor vmferry.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lab.ovirt.guest import LabGuest
from lab.witness import root_of


class FrozenWitness:
    """Attends each freeze of a guest."""

    def __init__(self, guest: LabGuest, room: Path) -> None:
        self._room = room
        self._pool = ThreadPoolExecutor(1)
        self._roots: list[Future[list[str]]] = []
        room.mkdir()
        guest.on_freeze = self._attend

    def last_roots(self) -> list[str]:
        """Give the roots of the guest's disks at the last freeze."""
        return self._roots[-1].result()

    def _attend(self, guest: LabGuest) -> None:
        copies = []
        for number, volume in enumerate(guest.volumes):
            copies.append(self._room / f"moment{len(self._roots)}-disk{number}.raw")
            done = subprocess.run(["nbdcopy", volume.url, copies[-1]], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"nbdcopy {volume.url} failed ({done.returncode}): {done.stderr.strip()}")
        # The guest may go on meanwhile: the copies are there.
        self._roots.append(self._pool.submit(_read, copies))

    def close(self) -> None:
        """Wait for the last copy to be read."""
        self._pool.shutdown()


def _read(copies: list[Path]) -> list[str]:
    roots = [root_of(copy) for copy in copies]
    for copy in copies:
        copy.unlink()
    return roots
