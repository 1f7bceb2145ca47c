"""What the tests here share: everything in this folder is chaos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.imageio import ImageioDaemon
from lab.pki import Certificate, create_certificate
from tests.chaos.disks import Disk
from tests.chaos.rooms import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "room")


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return Disk(tmp_path_factory.mktemp("chaos-disk") / "disk.raw")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("chaos-pki"))


@pytest.fixture(scope="session")
def imageio(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageioDaemon]:
    with ImageioDaemon(tmp_path_factory.mktemp("chaos-imageio"), certificate) as daemon:
        yield daemon
