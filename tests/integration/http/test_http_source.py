"""The HTTP endpoint against a real server on loopback, with every fault the server can be told to make."""

from __future__ import annotations

import json
import logging
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from lab.http import Fault, HttpServer
from lab.pki import Certificate, create_certificate

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.errors import (
    BadInput,
    Cancelled,
    SourceChanged,
    SourceError,
    SourceLost,
    TrustError,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = random.Random(1).randbytes((3 << 20) + 12_345)
OTHER = random.Random(2).randbytes(len(CONTENT))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("pki"))


def open_url(url: str, secrets: dict[str, str] | None = None, **options: Any) -> Endpoint:
    return open_source(EndpointSpec("http", url, options=options), secrets or {})


def read(endpoint: Endpoint, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    connection = endpoint.connect()
    try:
        connection.read_into(offset, memoryview(buffer))
    finally:
        connection.close()
    return bytes(buffer)


def read_all(endpoint: Endpoint) -> bytes:
    return read(endpoint, 0, endpoint.size)


@pytest.mark.parametrize("etag", ["strong", "weak", None], ids=["strong-etag", "weak-etag", "no-etag"])
@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_reads_any_range_over_one_connection(server: HttpServer, etag: str | None, dated: bool) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT, etag=etag, dated=dated))
    connection = endpoint.connect()
    before = server.counts.connections
    for offset, length in [(0, 1), (1, 4096), (65_536, 1 << 20), (len(CONTENT) - 7, 7), (0, len(CONTENT))]:
        buffer = bytearray(length)
        connection.read_into(offset, memoryview(buffer))
        assert buffer == CONTENT[offset : offset + length]
    assert server.counts.connections == before + 1
    connection.close()
    assert endpoint.size == len(CONTENT)
    assert sum(extent.length for extent in endpoint.extents()) == len(CONTENT)
    assert ("without-version" in endpoint.identity) == (etag is None and not dated)


def test_parallel_connections_read_the_whole_object(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    result = bytearray(len(CONTENT))
    step = len(CONTENT) // 8 + 1

    def work(start: int) -> None:
        part = read(endpoint, start, min(step, len(CONTENT) - start))
        result[start : start + len(part)] = part

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, len(CONTENT), step)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert result == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        Fault(times=3, drop_after_bytes=100_000),
        Fault(times=3, drop_after_bytes=0),
        Fault(times=3, drop_after_bytes=-1),
        Fault(times=3, status=503),
        Fault(times=1, status=503, headers={"Retry-After": "1"}),
        Fault(times=1, status=429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        Fault(times=2, status=500),
    ],
    ids=["torn-body", "no-body", "no-answer", "503", "503-retry-after", "429-date", "500"],
)
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_comes_back_after_a_fault(server: HttpServer, fault: Fault, when: str) -> None:
    url = server.put("/disk.raw", CONTENT)
    if when == "opening":
        server.fail(fault)
    endpoint = open_url(url)
    if when == "reading":
        server.fail(fault)
    assert read_all(endpoint) == CONTENT


def test_goes_on_where_a_torn_body_stopped(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    server.fail(Fault(drop_after_bytes=2 << 20))
    assert read_all(endpoint) == CONTENT
    assert server.counts.body_bytes <= len(CONTENT) + (64 << 10)


def test_waits_out_an_outage(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    assert read(endpoint, 0, 10) == CONTENT[:10]
    server.offline()
    timer = threading.Timer(1.0, server.online)
    timer.start()
    assert read_all(endpoint) == CONTENT
    timer.join()


def test_gives_up_after_the_limit(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT), reconnect_s=0.5)
    server.offline()
    with pytest.raises(SourceLost, match=r"disk\.raw: the connection broke"):
        read_all(endpoint)


def test_gives_up_at_once_when_told_to_come_back_later_than_the_limit(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT), reconnect_s=30)
    server.fail(Fault(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(SourceLost, match="come back in 3600 s"):
        read_all(endpoint)


def test_close_ends_a_wait(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    server.offline()
    threading.Timer(0.3, endpoint.close).start()
    with pytest.raises(Cancelled):
        read_all(endpoint)


@pytest.mark.parametrize(
    ("etag", "dated", "content"),
    [
        ("strong", True, OTHER),
        ("weak", True, OTHER),
        (None, True, OTHER),
        ("weak", False, OTHER),
        (None, False, OTHER + b"longer"),
    ],
    ids=["strong-etag", "weak-etag", "date-only", "weak-etag-only", "size-only"],
)
def test_a_replaced_object_is_an_error(server: HttpServer, etag: str | None, dated: bool, content: bytes) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT, etag=etag, dated=dated))
    assert read(endpoint, 0, 100) == CONTENT[:100]
    server.put("/disk.raw", content, etag=etag, dated=dated)
    with pytest.raises(SourceChanged, match="replaced while it was being read"):
        read(endpoint, 100, 100)


def test_an_object_replaced_within_one_read_is_an_error(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    server.fail(Fault(drop_after_bytes=1 << 20, then=lambda: server.put("/disk.raw", OTHER)))
    with pytest.raises(SourceChanged):
        read_all(endpoint)
    assert server.counts.body_bytes < len(CONTENT)


def test_a_server_without_ranges_is_refused_before_anything_is_read(server: HttpServer) -> None:
    url = server.put("/disk.raw", CONTENT)
    server.fail(Fault(times=1, ignore_range=True))
    with pytest.raises(BadInput, match="ignores ranges"):
        open_url(url)


def test_a_server_that_forgets_ranges_is_an_error(server: HttpServer) -> None:
    endpoint = open_url(server.put("/disk.raw", CONTENT))
    server.fail(Fault(times=1, ignore_range=True))
    with pytest.raises(BadInput, match="suddenly ignores ranges"):
        read(endpoint, 0, 100)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_errors_at_once(server: HttpServer, status: int) -> None:
    url = server.put("/disk.raw", CONTENT)
    endpoint = open_url(url)
    server.fail(Fault(status=status))
    with pytest.raises(Unreadable, match=str(status)):
        read(endpoint, 0, 10)
    server.fail(Fault(status=status))
    with pytest.raises(Unreadable, match=str(status)):
        open_url(url)


def test_an_empty_object_is_refused(server: HttpServer) -> None:
    with pytest.raises(Unreadable, match="empty"):
        open_url(server.put("/disk.raw", b""))


def test_works_where_only_get_is_allowed(server: HttpServer) -> None:
    server.refused_methods = ("HEAD",)
    assert read_all(open_url(server.put("/disk.raw", CONTENT) + "?X-Amz-Signature=abc")) == CONTENT


def test_secrets_are_sent_but_never_shown(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.required_header = ("Authorization", "Bearer hush")
    url = server.put("/disk.raw", CONTENT) + "?sig=hush-too"
    secrets = {"headers": json.dumps({"Authorization": "Bearer hush"})}
    endpoint = open_url(url, secrets)
    assert read_all(endpoint) == CONTENT
    with pytest.raises(Unreadable) as caught:
        open_url(url)
    assert "hush" not in " ".join([endpoint.name, endpoint.identity, str(caught.value), caplog.text])


def test_identity_survives_a_new_signature(server: HttpServer) -> None:
    url = server.put("/p/KEY/n/ns/b/bucket/o/disk.raw", CONTENT)
    server.put("/p/OTHER/n/ns/b/bucket/o/disk.raw", CONTENT)
    one, two = open_url(url + "?sig=1"), open_url(url + "?sig=2")
    assert one.identity == two.identity
    assert "KEY" not in one.name + one.identity


def test_a_secret_url_comes_beside_the_spec(server: HttpServer) -> None:
    url = server.put("/disk.raw", CONTENT)
    endpoint = open_source(EndpointSpec("http", "https://storage/disk.raw"), {"url": url + "?sig=1"})
    assert read_all(endpoint) == CONTENT


def test_redirect_takes_no_secret_header_to_another_host(server: HttpServer) -> None:
    with HttpServer() as storage:
        server.redirects["/latest"] = storage.put("/disk.raw", CONTENT)
        endpoint = open_url(server.url + "/latest", {"headers": '{"X-Key": "hush"}'})
        assert read_all(endpoint) == CONTENT
        assert all("X-Key" in headers for headers in server.counts.headers)
        assert not any("X-Key" in headers for headers in storage.counts.headers)
        assert server.counts.requests == 1


def test_an_expired_redirect_is_followed_anew(server: HttpServer) -> None:
    with HttpServer() as storage:
        server.redirects["/latest"] = storage.put("/one", CONTENT, etag=None, dated=False)
        endpoint = open_url(server.url + "/latest")
        server.redirects["/latest"] = storage.put("/two", CONTENT, etag=None, dated=False)
        storage.fail(Fault(status=403))
        assert read_all(endpoint) == CONTENT


def test_endless_redirects_end(server: HttpServer) -> None:
    server.redirects["/loop"] = "/loop"
    with pytest.raises(SourceError, match="redirects"):
        open_url(server.url + "/loop")


def test_tls_is_verified(certificate: Certificate, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stranger = create_certificate(tmp_path / "stranger")
    with HttpServer(certificate) as server:
        url = server.put("/disk.raw", CONTENT)
        assert read_all(open_url(url, tls_ca=str(certificate.ca))) == CONTENT
        with pytest.raises(TrustError, match="cannot be trusted"):
            open_url(url)
        with pytest.raises(TrustError, match="cannot be trusted"):
            open_url(url, tls_ca=str(stranger.ca))
        assert not caplog.records
        assert read_all(open_url(url, tls_verify=False)) == CONTENT
        assert "NOT verified" in caplog.text


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = create_certificate(tmp_path, ("DNS:elsewhere.example",))
    with HttpServer(other) as server, pytest.raises(TrustError, match="127"):
        open_url(server.put("/disk.raw", CONTENT), tls_ca=str(other.ca))


def test_torn_tls_connections_come_back(certificate: Certificate) -> None:
    with HttpServer(certificate) as server:
        endpoint = open_url(server.put("/disk.raw", CONTENT), tls_ca=str(certificate.ca))
        server.fail(Fault(times=4, drop_after_bytes=300_000))
        assert read_all(endpoint) == CONTENT


def test_https_is_not_left_by_a_redirect(certificate: Certificate, server: HttpServer) -> None:
    with HttpServer(certificate) as secure:
        secure.redirects["/disk.raw"] = server.put("/disk.raw", CONTENT)
        with pytest.raises(TrustError, match="not encrypted"):
            open_url(secure.url + "/disk.raw", tls_ca=str(certificate.ca))


def test_talking_tls_to_a_plain_server_is_one_clear_error(server: HttpServer) -> None:
    url = server.put("/disk.raw", CONTENT).replace("http:", "https:")
    with pytest.raises(TrustError, match="does not speak TLS"):
        open_url(url)
