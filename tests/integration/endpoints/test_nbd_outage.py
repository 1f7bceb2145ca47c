# SPDX-License-Identifier: Apache-2.0
"""Servers that die, come back, come back different, or never come back."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from lab.nbd import NbdServer

from vmferry.engine.endpoint import Connection
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import SourceChanged, SourceLost, TargetLost
from vmferry.engine.units import KiB, MiB

SIZE = 8 * MiB
LEAF = memoryview(b"\x5a" * (64 * KiB))


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NbdServer]:
    image = tmp_path / "disk.raw"
    image.write_bytes(random.Random(3).randbytes(SIZE))
    made = NbdServer(image, socket_path=tmp_path / "s" if request.param == "unix" else None)
    made.start()
    yield made
    made.stop()


def restart(server: NbdServer) -> None:
    server.kill()
    server.start()


def read(connection: Connection, offset: int = 0, length: int = 64 * KiB) -> bytes:
    buffer = bytearray(length)
    connection.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def test_a_read_waits_for_the_server_to_come_back(server: NbdServer) -> None:
    content = server.image.read_bytes()
    with closing(open_source(server.spec())) as endpoint, closing(endpoint.connect()) as connection:
        extents = iter(endpoint.extents())
        server.kill()
        back = threading.Timer(0.4, server.start)
        back.start()
        try:
            assert read(connection, 0, SIZE) == content
        finally:
            back.join()
        assert sum(extent.length for extent in extents) == SIZE


def test_a_server_that_stays_away_is_lost(server: NbdServer) -> None:
    with closing(open_source(server.spec(reconnect_s=0.3))) as endpoint, closing(endpoint.connect()) as connection:
        read(connection)
        server.kill()
        with pytest.raises(SourceLost) as caught:
            read(connection)
        assert server.url in caught.value.what
        assert "resume" in caught.value.fix


def test_a_server_that_is_not_there_is_lost_at_once(server: NbdServer) -> None:
    server.kill()
    with pytest.raises(SourceLost):
        open_source(server.spec(reconnect_s=60))
    with pytest.raises(TargetLost):
        open_target(server.spec(reconnect_s=60), SIZE)


def test_another_disk_at_the_same_address_is_noticed(server: NbdServer) -> None:
    with closing(open_source(server.spec())) as endpoint, closing(endpoint.connect()) as connection:
        read(connection)
        server.kill()
        server.image.write_bytes(bytes(4 * MiB))
        server.start()
        with pytest.raises(SourceChanged, match=str(4 * MiB)):
            read(connection)


def test_flushed_writes_outlive_the_server(server: NbdServer) -> None:
    with closing(open_target(server.spec(), SIZE)) as endpoint, closing(endpoint.connect()) as connection:
        connection.write(0, LEAF)
        connection.flush()
        restart(server)
        connection.write(MiB, LEAF)
        connection.flush()
        assert read(connection) == read(connection, MiB) == LEAF


def test_nobody_vouches_for_writes_that_a_dead_server_had_acknowledged(server: NbdServer) -> None:
    with closing(open_target(server.spec(), SIZE)) as endpoint, closing(endpoint.connect()) as connection:
        connection.write(0, LEAF)
        restart(server)
        connection.write(MiB, LEAF)
        for _ in range(2):
            with pytest.raises(TargetLost, match="may be lost"):
                connection.flush()
    with closing(open_target(server.spec(), SIZE)) as endpoint, closing(endpoint.connect()) as connection:
        connection.write(0, LEAF)
        connection.flush()


def test_a_flush_over_a_new_connection_does_not_vouch_for_an_old_one(server: NbdServer) -> None:
    with closing(open_target(server.spec(), SIZE)) as endpoint:
        reader, writer = endpoint.connect(), endpoint.connect()
        writer.write(0, LEAF)
        restart(server)
        read(reader)
        with closing(endpoint.connect()) as late, pytest.raises(TargetLost):
            late.flush()


def test_a_closed_connection_has_flushed_what_it_wrote(server: NbdServer) -> None:
    with closing(open_target(server.spec(), SIZE)) as endpoint:
        reader, writer = endpoint.connect(), endpoint.connect()
        writer.write(0, LEAF)
        writer.close()
        restart(server)
        reader.flush()
        assert read(reader) == LEAF


def test_closing_the_endpoint_ends_the_waiting(server: NbdServer) -> None:
    endpoint = open_source(server.spec(reconnect_s=600))
    connection = endpoint.connect()
    server.kill()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            read(connection)
        except SourceLost as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    endpoint.close()
    waiting.join(60)
    assert not waiting.is_alive()
    assert len(ended) == 1


@pytest.mark.parametrize("shared", [1, 2], ids=["one-client", "two-clients"])
def test_connections_are_shared_when_the_server_takes_few(tmp_path: Path, shared: int) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(random.Random(4).randbytes(SIZE))
    server = NbdServer(image, shared=shared)
    server.start()
    try:
        with closing(open_target(server.spec(), SIZE)) as endpoint:
            connections = [endpoint.connect() for _ in range(4)]
            for number, connection in enumerate(connections):
                connection.write(number * MiB, LEAF)
            connections[-1].flush()
            assert endpoint.max_connections == shared
            assert sum(extent.length for extent in endpoint.extents()) == SIZE
            assert all(read(connections[0], number * MiB) == LEAF for number in range(4))
    finally:
        server.stop()
