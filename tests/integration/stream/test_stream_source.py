"""Compressed raw images: what the real gzip, xz, zstd and pzstd made, from a file and over HTTP."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.http import Fault, HttpServer

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints.stream import StreamEndpoint, open_stream_source
from vmferry.engine.errors import BadInput, Cancelled, RefusedImage, SourceError, ToolMissing, Unreadable
from vmferry.engine.units import GROUP_BYTES, KiB, MiB

DISK_BYTES = 33 * MiB + 512


@pytest.fixture(scope="module")
def disk() -> bytes:
    generator = random.Random(11)
    parts: list[bytes] = []
    while sum(len(part) for part in parts) < DISK_BYTES:
        parts += [generator.randbytes(300 * KiB), bytes(900 * KiB), b"text " * (40 * KiB)]
    return b"".join(parts)[:DISK_BYTES]


def run(*command: str) -> Callable[[bytes], bytes]:
    """Return what compresses through a program's pipes, so that the size of the input is not known to it."""
    return lambda data: subprocess.run(command, input=data, capture_output=True, check=True).stdout


def in_two(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Return what compresses two halves into one file of two members."""
    return lambda data: compress(data[: 5 * MiB]) + compress(data[5 * MiB :])


def zstd_with_size(data: bytes) -> bytes:
    return run("zstd", "-1", f"--stream-size={len(data)}")(data)


KINDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    # name: compression, how it is made
    "gz": ("gz", run("gzip", "-1")),
    "gz-members": ("gz", in_two(run("gzip", "-1"))),
    "gz-padded": ("gz", lambda data: run("gzip", "-1")(data) + bytes(1000)),
    "xz": ("xz", run("xz", "-0")),
    "xz-blocks": ("xz", run("xz", "-0", "--block-size=4MiB")),
    "xz-streams": ("xz", in_two(run("xz", "-0"))),
    "zst": ("zst", zstd_with_size),
    "zst-unsized": ("zst", run("zstd", "-1")),
    "zst-parallel": ("zst", run("pzstd", "-1", "-p", "4")),
}


@pytest.fixture(scope="module")
def compressed(disk: bytes) -> dict[str, bytes]:
    return {name: make(disk) for name, (_, make) in KINDS.items()}


def open_path(path: Path, compression: str, **options: Any) -> StreamEndpoint:
    return open_stream_source(EndpointSpec("stream", str(path), options={"compression": compression, **options}), {})


def read(endpoint: StreamEndpoint, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    endpoint.connect().read_into(offset, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_in_order_in_one_pass(kind: str, compressed: dict[str, bytes], disk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed[kind])
    endpoint = open_path(path, KINDS[kind][0])
    assert endpoint.size == DISK_BYTES
    assert b"".join(read(endpoint, extent.start, extent.length) for extent in endpoint.extents()) == disk
    assert endpoint.passes == 1
    endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_reads_over_http_through_faults(kind: str, compressed: dict[str, bytes], disk: bytes) -> None:
    with HttpServer() as server:
        url = server.put(f"/disk.raw.{kind}", compressed[kind])
        over = EndpointSpec("http", url).to_json()
        server.fail(Fault(status=503))
        spec = EndpointSpec("stream", url, options={"compression": kind, "over": over})
        endpoint = open_stream_source(spec, {})
        server.fail(Fault(times=2, drop_after_bytes=50_000))
        assert read(endpoint, 0, DISK_BYTES) == disk
        endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_threads_that_overtake_each_other_share_one_pass(
    kind: str, compressed: dict[str, bytes], disk: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed[kind])
    endpoint = open_path(path, kind)
    starts = list(range(0, DISK_BYTES, GROUP_BYTES))
    for at in range(0, len(starts), 4):  # workers take groups in order and ask for them in any order
        starts[at : at + 4] = reversed(starts[at : at + 4])
    found: dict[int, bytes] = {}
    todo, lock = iter(starts), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                start = next(todo, None)
            if start is None:
                return
            found[start] = read(endpoint, start, min(GROUP_BYTES, DISK_BYTES - start))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(found[start] for start in sorted(found)) == disk
    assert endpoint.passes == 1
    endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_skips_forward_and_begins_anew_backwards(
    kind: str, compressed: dict[str, bytes], disk: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed[kind])
    endpoint = open_path(path, kind)
    assert read(endpoint, 32 * MiB, 1000) == disk[32 * MiB : 32 * MiB + 1000]
    assert endpoint.passes == 1
    assert read(endpoint, 100, 5 * MiB) == disk[100 : 100 + 5 * MiB]
    assert read(endpoint, 32 * MiB, 1000) == disk[32 * MiB : 32 * MiB + 1000]
    assert endpoint.passes == 2
    endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage"])
def test_a_damaged_stream_says_where(
    kind: str, damage: str, compressed: dict[str, bytes], disk: bytes, tmp_path: Path
) -> None:
    data = bytearray(compressed[kind])
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0x10
    else:
        data += b"this is no compressed data"
    path = tmp_path / "image.bin"
    path.write_bytes(data)

    def read_all() -> bytes:
        endpoint = open_path(path, kind, size_bytes=DISK_BYTES)
        try:
            return read(endpoint, 0, DISK_BYTES)
        finally:
            endpoint.close()

    with pytest.raises(SourceError, match=rf"image\.bin: the {kind} stream is damaged before byte \d+"):
        read_all()


@pytest.mark.parametrize("promised", [DISK_BYTES - 1, DISK_BYTES + 1], ids=["more", "less"])
def test_another_length_than_promised_is_an_error(promised: int, compressed: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed["gz"])
    endpoint = open_path(path, "gz", size_bytes=promised)
    with pytest.raises(SourceError, match=f"than the {promised} bytes it promised"):
        read(endpoint, 0, promised)
    endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "xz", "zst", "zst-unsized"])
def test_too_large_a_disk_is_refused(kind: str, compressed: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed[kind])
    with pytest.raises(RefusedImage, match=r"more than 8\.0 MiB"):
        open_path(path, KINDS[kind][0], max_bytes=8 * MiB)


def test_a_disk_of_zeros_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "zeros.raw.zst"
    path.write_bytes(zstd_with_size(bytes(256 * MiB)))
    assert path.stat().st_size < 256 * MiB // 1100
    endpoint = open_path(path, "zst")
    assert endpoint.size == 256 * MiB
    assert not any(read(endpoint, 255 * MiB, MiB))
    endpoint.close()


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_close_wakes_up_a_reader_whose_server_is_gone(kind: str, compressed: dict[str, bytes]) -> None:
    with HttpServer() as server:
        url = server.put("/disk", compressed[kind])
        over = EndpointSpec("http", url).to_json()
        spec = EndpointSpec("stream", url, options={"compression": kind, "over": over, "size_bytes": DISK_BYTES})
        endpoint = open_stream_source(spec, {})
        server.offline()
        timer = threading.Timer(0.3, endpoint.close)
        timer.start()
        with pytest.raises(Cancelled):
            read(endpoint, 0, DISK_BYTES)
        timer.join()


def test_closing_twice_and_reading_after_it_do_no_harm(compressed: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(compressed["zst"])
    endpoint = open_path(path, "zst")
    read(endpoint, 0, 10)
    endpoint.close()
    endpoint.close()
    with pytest.raises(Cancelled):
        read(endpoint, 0, 10)


def test_bad_input_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="none"):
        open_path(tmp_path / "none", "gz")
    (tmp_path / "image").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(BadInput, match="bz2"):
        open_path(tmp_path / "image", "bz2")
    with pytest.raises(BadInput, match="dirty"):
        open_path(tmp_path / "image", "gz", size_bytes=1).extents("dirty")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="install the package zstd"):
        open_path(tmp_path / "image", "zst")
