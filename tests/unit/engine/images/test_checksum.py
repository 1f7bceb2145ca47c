"""The SHA-256 that somebody promised."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from pathlib import Path

import pytest

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.errors import BadInput, Cancelled, RefusedImage
from vmferry.engine.images import checksum
from vmferry.engine.progress import Progress


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"".join(hashlib.sha256(bytes([n % 251, n // 251])).digest() for n in range(2000)) + b"end")
    return path


@pytest.mark.parametrize("piece", [1000, 4096, 1 << 23])
def test_right(content: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "_PIECE_BYTES", piece)
    progress = Progress()
    promised = hashlib.sha256(content.read_bytes()).hexdigest().upper()
    with closing(open_source(EndpointSpec("file", str(content)))) as source:
        checksum.check_sha256(source, f" {promised}\n", progress)
    assert progress.status().bytes_done == content.stat().st_size


def test_one_bit(content: Path) -> None:
    promised = hashlib.sha256(content.read_bytes()).hexdigest()
    data = bytearray(content.read_bytes())
    data[12345] ^= 1
    content.write_bytes(data)
    with (
        closing(open_source(EndpointSpec("file", str(content)))) as source,
        pytest.raises(RefusedImage, match=promised),
    ):
        checksum.check_sha256(source, promised, Progress())


@pytest.mark.parametrize("promised", ["", "abc", "z" * 64, "0" * 63])
def test_no_sha256(content: Path, promised: str) -> None:
    with closing(open_source(EndpointSpec("file", str(content)))) as source, pytest.raises(BadInput, match="64 hex"):
        checksum.check_sha256(source, promised, Progress())


def test_stopped(content: Path) -> None:
    stop = threading.Event()
    stop.set()
    with closing(open_source(EndpointSpec("file", str(content)))) as source, pytest.raises(Cancelled):
        checksum.check_sha256(source, "0" * 64, Progress(), stop)
