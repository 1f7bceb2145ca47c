"""A qcow2 whose every other 512 bytes are data: millions of extents in a file of a few megabytes.

All data clusters are one and the same cluster of the file, which a reader cannot tell.
"""

from __future__ import annotations

import array
import struct
import sys
from pathlib import Path

CLUSTER = 512
_ENTRIES = CLUSTER // 8
_COPIED = 1 << 63


def write_combed_qcow2(path: Path, size_bytes: int, pattern: bytes) -> None:
    """Write the image; `pattern` is what each data cluster reads like."""
    assert len(pattern) == CLUSTER
    tables = size_bytes // CLUSTER // _ENTRIES
    l1_at, l1_clusters = 3 * CLUSTER, -(-tables * 8 // CLUSTER)
    data_at = l1_at + l1_clusters * CLUSTER
    l2_at = data_at + CLUSTER
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, CLUSTER.bit_length() - 1, size_bytes, 0, tables, l1_at, CLUSTER, 1, 0, 0
    )
    table = _big_endian([data_at | _COPIED if number % 2 else 0 for number in range(_ENTRIES)])
    with path.open("wb") as file:
        file.write(header)
        file.seek(l1_at)
        file.write(_big_endian([l2_at + number * CLUSTER | _COPIED for number in range(tables)]))
        file.seek(data_at)
        file.write(pattern)
        file.write(table * tables)


def _big_endian(numbers: list[int]) -> bytes:
    made = array.array("Q", numbers)
    if sys.byteorder == "little":
        made.byteswap()
    return made.tobytes()
