"""Random lives of a disk: how it is kept and read, what is written to it between backups, where it is restored."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import strategies as st
from tests.integration.roundtrip.guests import Stroke
from tests.integration.roundtrip.places import PLACES

KiB, MiB = 1 << 10, 1 << 20
LONGEST_CHAIN = 12

GUESTS = (
    "raw-file", "raw-nbd", "raw-imageio",
    "qcow2-file", "qcow2-nbd", "qcow2-imageio",
    "running-nbd", "running-imageio",
)  # fmt: skip
_EDGES = (1, 511, 512, 65_535, 65_536, 65_537, 4 * MiB - 1, 4 * MiB, 4 * MiB + 1, 8 * MiB + 512)


@dataclass(frozen=True)
class Chapter:
    """What happens up to one backup."""

    verbs: tuple[str, ...]
    """data · zeros · hole · comb (many small pieces)."""
    grow_bytes: int
    late: bool
    """The guest writes on while its point is read."""
    full: bool
    """Asked for in full, in the middle of a chain."""
    loses_bitmap: bool
    """The dirty bitmap is not to be had."""


@dataclass(frozen=True)
class Story:
    """One case."""

    guest: str
    size_bytes: int
    seed: int
    """Of the bytes and places of the writes."""
    chapters: tuple[Chapter, ...]
    restores: tuple[tuple[int, str], ...]
    """(which backup, counted from the newest; where to)."""


_sizes = st.one_of(
    st.sampled_from(_EDGES),
    st.integers(100 * KiB, MiB),
    st.integers(MiB, 12 * MiB),
    st.integers(12 * MiB, 40 * MiB),
)
_chapters = st.builds(
    Chapter,
    verbs=st.lists(st.sampled_from(("data", "data", "zeros", "hole", "comb")), max_size=4).map(tuple),
    grow_bytes=st.one_of(st.just(0), st.just(0), st.integers(1, 5 * MiB)),
    late=st.booleans(),
    full=st.integers(0, 9).map(lambda number: number == 7),
    loses_bitmap=st.integers(0, 5).map(lambda number: number == 3),
)
STORIES = st.builds(
    Story,
    guest=st.sampled_from(GUESTS),
    size_bytes=_sizes,
    seed=st.integers(0, 1 << 30),
    chapters=st.one_of(
        st.lists(_chapters, min_size=1, max_size=4), st.lists(_chapters, min_size=5, max_size=LONGEST_CHAIN)
    ).map(tuple),
    restores=st.lists(
        st.tuples(st.integers(0, LONGEST_CHAIN - 1), st.sampled_from(PLACES)), min_size=1, max_size=3
    ).map(tuple),
)


def write_strokes(verb: str, size_bytes: int, chance: random.Random) -> list[Stroke]:
    """Think up the writes of one verb."""
    if verb == "comb":
        return _comb(size_bytes, chance)
    at = chance.randrange(size_bytes)
    length = min(size_bytes - at, chance.choice((1, 700, 4 * KiB, 65 * KiB, 300 * KiB, 2 * MiB)))
    if verb == "data":
        return [Stroke(at, chance.randbytes(length), length)]
    return [Stroke(at, bytes(length) if verb == "zeros" else None, length)]


def _comb(size_bytes: int, chance: random.Random) -> list[Stroke]:
    """Write small pieces with gaps between them: a fragmented disk."""
    step = chance.choice((9 * KiB, 70 * KiB, 130 * KiB))
    start = chance.randrange(size_bytes)
    places = range(start, min(size_bytes, start + 64 * step), step)
    pieces = [(at, min(chance.randrange(1, 5 * KiB), size_bytes - at)) for at in places]
    return [Stroke(at, chance.randbytes(length), length) for at, length in pieces]


def draw(model: bytearray, strokes: list[Stroke]) -> None:
    """Do to the model what the guest does to the disk."""
    for stroke in strokes:
        model[stroke.at : stroke.at + stroke.length] = stroke.data or bytes(stroke.length)
