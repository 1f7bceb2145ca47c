"""Extents as JSON: any chunking, anything torn, and two million of them in little memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.endpoints.imageio_extents import ExtentSpool, parse_extents
from vmferry.engine.errors import SourceError
from vmferry.engine.extents import Extent

RAW = [
    {"start": 0, "length": 65536, "dirty": True, "zero": False},
    {"start": 65536, "length": 65536, "dirty": False, "zero": True},
    {"start": 131072, "length": 1 << 40, "dirty": True, "zero": True},
]


class Trickle:
    """Brings a text in chunks of a few bytes."""

    def __init__(self, text: bytes, step: int) -> None:
        self._file = io.BytesIO(text)
        self._step = step

    def read(self, _: int) -> bytes:
        return self._file.read(self._step)


@given(step=st.integers(1, 300), spaces=st.sampled_from([None, 2]))
def test_any_chunking_gives_the_same(step: int, spaces: int | None) -> None:
    text = json.dumps(RAW, indent=spaces).encode() + b"\n"
    assert list(parse_extents(Trickle(text, step).read, "zero", "x")) == [
        Extent(0, 65536, False),
        Extent(65536, 65536, True),
        Extent(131072, 1 << 40, True),
    ]
    assert [each.start for each in parse_extents(Trickle(text, step).read, "dirty", "x")] == [0, 131072]


def test_no_extents_are_fine() -> None:
    assert list(parse_extents(Trickle(b"[]", 1).read, "dirty", "x")) == []


@given(end=st.integers(0, len(json.dumps(RAW)) - 1))
def test_a_torn_list_is_an_error(end: int) -> None:
    text = json.dumps(RAW).encode()[:end]
    with pytest.raises(ConnectionError, match="ends too early"):
        list(parse_extents(Trickle(text, 7).read, "zero", "x"))


@pytest.mark.parametrize(
    "text",
    [b"<html>", b'[{"start": 1}]', b'[{"start": 0, "length": 0, "zero": true}]', b'[{"start" 0}]', b'[{"start": "a"}]'],
    ids=["html", "incomplete", "empty", "no-json", "no-number"],
)
def test_what_is_no_list_of_extents_is_an_error(text: bytes) -> None:
    with pytest.raises(SourceError, match="the daemon"):
        list(parse_extents(Trickle(text, 100).read, "zero", "x"))


def test_a_spool_is_read_by_several_at_once() -> None:
    spool = ExtentSpool()
    extents = [Extent(start * 4096, 4096, bool(start % 2)) for start in range(10_000)]
    spool.fill(iter(extents))
    one, two = iter(spool), iter(spool)
    assert [pair for pair in zip(one, two, strict=True)] == [(each, each) for each in extents]
    spool.close()


TWO_MILLION = """
import pathlib, re
from vmferry.engine.endpoints.imageio_extents import ExtentSpool, parse_extents

one = b'{"start": 1099511627776, "length": 65536, "zero": false, "hole": false}'
batch = b", ".join([one] * 2000)
chunks = iter([b"[", batch] + [b", ", batch] * 999 + [b"]"])
spool = ExtentSpool()
spool.fill(parse_extents(lambda size: next(chunks, b""), "zero", "x"))
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text()).group(1)
print(sum(extent.length for extent in spool), peak)
"""


def test_two_million_extents_fit_into_little_memory() -> None:
    """VmHWM, not ru_maxrss: the latter is inherited from the process that started us."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_MILLION], capture_output=True, text=True, env=_environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    total, peak_kib = map(int, done.stdout.split())
    assert total == 2_000_000 << 16
    assert peak_kib < 100 << 10


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
