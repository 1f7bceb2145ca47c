# SPDX-License-Identifier: Apache-2.0
"""Servers other than qemu-nbd, with their own ideas: limits, missing features, errors. nbdkit plays them all."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import NoSpace, SourceError, SourceLost, TargetError
from vmferry.engine.qemu.child import start_bound
from vmferry.engine.units import GiB, KiB, MiB, TiB

SIZE = 6 * MiB
STRICT = ("blocksize-error-policy=error",)
Start = Callable[..., EndpointSpec]


@pytest.fixture
def nbdkit(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(*arguments: object) -> EndpointSpec:
            socket = tmp_path / "k"
            words = [str(argument) for argument in arguments]
            ready = subprocess.Popen(
                ["nbdkit", "--foreground", "--exit-with-parent", "-U", socket, "-P", tmp_path / "pid", *words],
                stderr=subprocess.DEVNULL,
            )
            stack.callback(ready.wait)
            stack.callback(ready.terminate)
            _wait_for(tmp_path / "pid", ready)
            return EndpointSpec("nbd", f"nbd+unix:///?socket={socket}", options={"reconnect_s": 0.2})

        yield start


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    tick = threading.Event()
    while not (path.exists() and path.read_text().strip()):
        assert process.poll() is None, "nbdkit did not start"
        tick.wait(0.005)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(MiB) + random.Random(9).randbytes(SIZE - MiB))
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--no-sr"],
        ["--filter=noextents"],
        ["--filter=nozero"],
        ["--filter=nozero", "--no-sr", "--filter=noparallel", "serialize=connections"],
        [
            "--filter=blocksize-policy",
            "blocksize-minimum=4096",
            "blocksize-maximum=65536",
            "blocksize-error-policy=error",
        ],
    ],
    ids=["no-structured-replies", "no-extents", "no-zeroing", "very-plain", "4k-blocks-of-64k"],
)
def test_reads_and_writes_what_the_server_lets_us(nbdkit: Start, disk: Path, options: list[str]) -> None:
    content = bytearray(disk.read_bytes())
    flags, parameters = [o for o in options if o[0] == "-"], [o for o in options if o[0] != "-"]
    spec = nbdkit(*flags, "file", disk, *parameters)
    with closing(open_target(spec, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
        buffer = memoryview(bytearray(SIZE))
        connection.read_into(0, buffer)
        assert buffer == content
        for offset, length in ((777, 200_000), (MiB - 1, 2), (SIZE - 5000, 5000)):
            data = random.Random(length).randbytes(length)
            connection.write(offset, memoryview(data))
            content[offset : offset + length] = data
            connection.zero(offset + 4 * MiB if offset < MiB else 2 * MiB + 100, length)
            at = offset + 4 * MiB if offset < MiB else 2 * MiB + 100
            content[at : at + length] = bytes(length)
        connection.flush()
        connection.read_into(0, buffer)
        assert buffer == content
        assert sum(extent.length for extent in endpoint.extents()) == SIZE
    assert disk.read_bytes() == content


@pytest.mark.parametrize(
    ("code", "command", "error"),
    [
        ("ENOSPC", "pwrite", NoSpace),
        ("EIO", "pwrite", TargetError),
        ("EIO", "pread", SourceError),
        ("ENOSPC", "zero", NoSpace),
    ],
    ids=["full", "bad-write", "bad-read", "full-zeroing"],
)
def test_the_servers_errors_have_names_and_places(
    nbdkit: Start, disk: Path, code: str, command: str, error: type[Exception]
) -> None:
    failing = [f"error-{command}={code}", f"error-{command}-rate=1"]
    spec = nbdkit("--filter=error", "file", disk, *failing)
    with closing(open_target(spec, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
        actions: dict[str, Callable[[], None]] = {
            "pwrite": lambda: connection.write(4 * MiB, memoryview(bytes(64 * KiB))),
            "pread": lambda: connection.read_into(4 * MiB, memoryview(bytearray(64 * KiB))),
            "zero": lambda: connection.zero(4 * MiB, 64 * KiB),
        }
        with pytest.raises(error, match=f"offset {4 * MiB}"):
            actions[command]()
        assert sum(extent.length for extent in endpoint.extents()) == SIZE


def test_very_many_extents_stream(nbdkit: Start) -> None:
    spec = nbdkit("sparse-random", 16 * GiB, "seed=7", "percent=10", "runlength=65536")
    with closing(open_source(spec)) as endpoint:
        data, position, pieces = 0, 0, 0
        for extent in endpoint.extents():
            assert extent.start == position
            position = extent.end
            pieces += 1
            data += 0 if extent.zero else extent.length
    assert position == 16 * GiB
    assert GiB < data < 3 * GiB
    assert pieces > 10_000


def test_a_fresh_terabyte_is_known_to_read_zero(nbdkit: Start) -> None:
    with closing(open_target(nbdkit("memory", TiB), TiB)) as endpoint, closing(endpoint.connect()) as connection:
        assert endpoint.reads_zero
        connection.zero(0, TiB)
        connection.write(TiB - 64 * KiB, memoryview(b"x" * 64 * KiB))
        assert list(endpoint.extents())[-1].end == TiB


def test_a_server_that_does_not_answer_is_lost(tmp_path: Path, disk: Path) -> None:
    """A client that gets no more than the greeting: the server is busy with somebody else."""
    with ExitStack() as stack:
        command = ["nbdkit", "--foreground", "-U", str(tmp_path / "q"), "--filter=delay", "file", str(disk)]
        silent = start_bound([*command, "delay-open=3600"], stderr=subprocess.DEVNULL)
        stack.callback(silent.wait)
        stack.callback(silent.kill)
        tick = threading.Event()
        while not (tmp_path / "q").exists():
            tick.wait(0.005)
        spec = EndpointSpec("nbd", f"nbd+unix:///?socket={tmp_path / 'q'}", options={"timeout_s": 0.5})
        with pytest.raises(SourceLost, match=r"no answer|timed out|broke off|refused"):
            open_source(spec)
