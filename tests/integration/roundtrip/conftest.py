"""One real imageio daemon for all cases of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.imageio import ImageioDaemon
from lab.pki import create_certificate


@pytest.fixture(scope="session")
def imageio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageioDaemon]:
    certificate = create_certificate(tmp_path_factory.mktemp("roundtrip-pki"))
    with ImageioDaemon(tmp_path_factory.mktemp("roundtrip-imageio"), certificate) as daemon:
        yield daemon
