# SPDX-License-Identifier: Apache-2.0
"""CRC-32C against published values (RFC 3720, B.4)."""

from __future__ import annotations

import pytest

from vmferry.engine.images.crc32c import crc32c, update


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"123456789", 0xE3069283, id="digits"),
        pytest.param(bytes(32), 0x8A9136AA, id="zeros"),
        pytest.param(b"\xff" * 32, 0x62A8AB43, id="ones"),
        pytest.param(bytes(range(32)), 0x46DD794E, id="counting"),
    ],
)
def test_known_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_the_register_can_be_fed_in_pieces() -> None:
    assert update(update(0xFFFFFFFF, b"12345"), b"6789") ^ 0xFFFFFFFF == 0xE3069283
