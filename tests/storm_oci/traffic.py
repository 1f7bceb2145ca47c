"""How much was moved again: the simulated Object Storage counts what it sends, and a job what it need not do again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from lab.oci.lab import OciLab
from tests.storm.traffic import COMMIT_BYTES, Way
from tests.storm.victims import Kill
from tests.storm_oci.images import Image

from vmferry.engine.units import MiB, format_bytes

REACHING = frozenset({"job", "job's qemu-nbd", "OCI's network"})
"""Kinds that may make somebody read again. Whatever becomes of Airflow, or of the way to a worker, its job reads on."""
_HEAD_BYTES = 1 * MiB
"""Is read by the inspection, and by the copy."""
_READ_AHEAD = 0.35
"""Of an image in a format: what was read ahead for one of qemu's streams is dropped for another. Seen in calm: 0.26."""
_NEAR_S = 60.0
"""So long a cut lasts at most."""


def list_copies(lab: OciLab) -> list[Way]:
    """Read the calls that had an object's bytes for an answer."""
    found: dict[str, Way] = {}
    for call in lab.log():
        if call.get("sent_bytes") and call["path"].startswith("/p/"):
            name = unquote(call["path"].partition("/o/")[2])
            found.setdefault(name, Way(name)).add(call["time"], call["start"], call["sent_bytes"])
    return list(found.values())


def kills_in(way: Way, kills: Sequence[Kill]) -> list[Kill]:
    """Give the kills that may have made somebody read an object again."""
    near = (kill for kill in kills if way.first_s - _NEAR_S <= kill.at <= way.last_s + 1)
    return [kill for kill in near if kill.kind in REACHING]


def read_too_often(ways: Sequence[Way], kills: Sequence[Kill], images: Mapping[str, Image]) -> list[str]:
    """Name the objects of which more was read again than kills excuse."""
    found = []
    for way in ways:
        image = images[way.name]
        spare = _HEAD_BYTES if image.suffix == "raw" else int(_READ_AHEAD * image.path.stat().st_size)
        if way.repeated_bytes > COMMIT_BYTES * len(kills_in(way, kills)) + spare:
            found.append(str(way))
    return found


def begun_again(name: str, moved_bytes: int, resumed_bytes: int) -> str:
    """Say so when a copy did more again than a commit, after a kill at which it had moved so much."""
    if resumed_bytes >= moved_bytes - COMMIT_BYTES:
        return ""
    what = f"{name}: {format_bytes(moved_bytes)} were there when its job was killed"
    return f"{what}, and only {format_bytes(resumed_bytes)} after it"
