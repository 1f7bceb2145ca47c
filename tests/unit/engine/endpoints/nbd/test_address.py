# SPDX-License-Identifier: Apache-2.0
"""NBD addresses."""

from __future__ import annotations

import pytest

from vmferry.engine.endpoints.nbd.address import TlsFiles, parse_address
from vmferry.engine.errors import BadInput, TrustError, UnknownScheme


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nbd://h:1234/disk", ("disk", "h", 1234, "", False)),
        ("nbd://h", ("", "h", 10809, "", False)),
        ("nbd://[::1]:7/a%20b", ("a b", "::1", 7, "", False)),
        ("nbd+unix:///?socket=/run/x%2Fs", ("", "", 10809, "/run/x/s", False)),
        ("nbds+unix:///vda?socket=/s", ("vda", "", 10809, "/s", True)),
        ("nbds://h/vda", ("vda", "h", 10809, "", True)),
    ],
    ids=["tcp", "defaults", "ipv6-and-quoted", "unix", "unix-tls", "tls"],
)
def test_reads_an_address(url: str, expected: tuple[str, str, int, str, bool]) -> None:
    address = parse_address(url, {})
    found = (address.export, address.host, address.port, address.socket_path, address.tls is not None)
    assert found == expected
    assert address.label == url


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://h/x", UnknownScheme),
        ("/dev/vda", UnknownScheme),
        ("nbd:///x", BadInput),
        ("nbd+unix:///x", BadInput),
        ("nbd://h/x?socket=/s", BadInput),
        ("nbd://h:notaport/x", BadInput),
        ("nbd://user:secret@h/x", BadInput),
    ],
    ids=["http", "path", "no-host", "no-socket", "both", "bad-port", "password"],
)
def test_refuses_what_is_no_address(url: str, error: type[BadInput]) -> None:
    with pytest.raises(error) as caught:
        parse_address(url, {})
    assert "nbd+unix" in caught.value.fix
    assert "secret" not in str(caught.value)


def test_tls_files_that_cannot_be_loaded_are_named() -> None:
    address = parse_address("nbds://h/x", {"tls_ca": "/no/such/ca.pem"})
    assert address.tls == TlsFiles(ca="/no/such/ca.pem")
    with pytest.raises(TrustError, match=r"/no/such/ca\.pem"):
        address.tls.build_context()
