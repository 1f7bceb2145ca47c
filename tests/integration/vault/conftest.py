"""A disk that is written to between backups, and what it read like at each of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vmferry.engine.endpoint import EndpointSpec
from vmferry.vault import Backup, Order, Vault, add_point, open_vault, restore

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


class Machine:
    """A VM with one disk of any size, its vault, and a copy of the disk for every backup."""

    def __init__(self, root: Path, size_bytes: int, seed: int = 1, vm: str = "web/1") -> None:
        self.root = root
        self.vm = vm
        self.vault: Vault = open_vault(root / "vault")
        self.disk = root / "disk.raw"
        self.rng = random.Random(seed)
        self.contents: dict[str, bytes] = {}
        self.backups: list[Backup] = []
        self.disk.write_bytes(b"")
        self.resize(size_bytes)

    @property
    def spec(self) -> EndpointSpec:
        return EndpointSpec("file", str(self.disk))

    def resize(self, size_bytes: int) -> None:
        with self.disk.open("r+b") as file:
            file.truncate(size_bytes)

    def scribble(self, count: int, longest: int = 200_000) -> None:
        size = self.disk.stat().st_size
        with self.disk.open("r+b") as file:
            for _ in range(count):
                file.seek(self.rng.randrange(size))
                length = self.rng.randrange(1, longest)
                file.write(bytes(length) if self.rng.random() < 0.2 else self.rng.randbytes(length))
            file.truncate(size)

    def order(self, *, incremental: bool = True) -> Order:
        moment = START + timedelta(days=len(self.backups))
        return Order(self.vm, {"root": self.spec}, incremental=incremental, now=moment)

    def add(self, *, incremental: bool = True) -> Backup:
        backup = add_point(self.vault, self.order(incremental=incremental))
        self.backups.append(backup)
        self.contents[backup.id] = self.disk.read_bytes()
        return backup

    def grow_chain(self, length: int) -> None:
        for _ in range(length):
            self.scribble(4)
            self.add()

    def restored(self, backup: str = "latest") -> bytes:
        target = self.root / "restored.raw"
        target.unlink(missing_ok=True)
        restore(self.vault, self.vm, {"root": EndpointSpec("file", str(target))}, backup=backup)
        return target.read_bytes()

    def paths(self) -> list[Path]:
        """Every file that belongs to a backup."""
        return sorted(path for path in self.vault.vm_dir(self.vm).glob("*_*/*") if path.is_file())


MakeMachine = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A disk of about 6 MiB whose size fits nothing."""
    return Machine(tmp_path, 6 * (1 << 20) + 1000)


@pytest.fixture
def make_machine(tmp_path: Path) -> MakeMachine:
    """Make a disk of any size."""

    def make(size_bytes: int, **kwargs: object) -> Machine:
        return Machine(tmp_path, size_bytes, **kwargs)  # type: ignore[arg-type]

    return make
