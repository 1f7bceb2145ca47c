"""How many bytes were moved more than once: the imageio daemons' own logs are believed, not our counts."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.ovirt import OvirtLab

from vmferry.engine.units import MiB, format_bytes

COMMIT_BYTES = 64 * MiB
_EVERY_S = 10.0
_PROBE_BYTES = 1
"""Each connection begins by asking for one byte: the answer says how large the disk is."""
_LINE = re.compile(
    r"^(?P<clock>[\d-]+ [\d:]+),\d+ .* (?:READ|WRITE) size=(?P<size>\d+) offset=(?P<offset>\d+) .*transfer=(?P<id>\S+)"
)


@dataclass
class Way:
    """All that was asked for of one disk: of one backup's frozen moment, or uploaded to it."""

    name: str
    first_s: float = float("inf")
    last_s: float = 0.0
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def add(self, at_s: float, offset: int, size: int) -> None:
        """Note one request."""
        self.first_s, self.last_s = min(self.first_s, at_s), max(self.last_s, at_s)
        self.ranges.append((offset, offset + size))

    @property
    def repeated_bytes(self) -> int:
        """Bytes that were asked for again."""
        total = sum(end - start for start, end in self.ranges)
        distinct, done = 0, 0
        for start, end in sorted(self.ranges):
            distinct += max(0, end - max(start, done))
            done = max(done, end)
        return total - distinct

    def allowed_bytes(self, kills: Sequence[float]) -> int:
        """So much may be moved again: a commit for each kill while it was under way."""
        return COMMIT_BYTES * sum(1 for at in kills if self.first_s - 1 <= at <= self.last_s + 1)

    def __str__(self) -> str:
        return f"{self.name}: {format_bytes(self.repeated_bytes)} again"


class Traffic:
    """Remembers which transfer was for what: an engine forgets that some minutes after its end."""

    def __init__(self, labs: Sequence[OvirtLab]) -> None:
        self._labs = tuple(labs)
        self._transfers: dict[str, dict[str, Any]] = {}
        self._looked = 0.0

    def look(self) -> None:
        """Ask the engines, now and then; one that is down is asked later."""
        if time.monotonic() - self._looked < _EVERY_S:
            return
        self._looked = time.monotonic()
        for lab in self._labs:
            with contextlib.suppress(OSError, ValueError):
                self._transfers |= lab.state()["transfers"]

    def ways(self) -> list[Way]:
        """Read the logs. What is read back from a restored disk is no copy."""
        found: dict[str, Way] = {}
        for transfer_id, at_s, offset, size in self._requests():
            known = self._transfers.get(transfer_id)
            if known is None or (known["backup"] is None and known["direction"] == "download"):
                continue
            if size == _PROBE_BYTES:
                continue
            name = f"backup {known['backup']} disk {known['disk']}" if known["backup"] else f"upload of {known['disk']}"
            found.setdefault(name, Way(name)).add(at_s, offset, size)
        return list(found.values())

    def _requests(self) -> Iterator[tuple[str, float, int, int]]:
        for lab in self._labs:
            for log in lab.imageio_logs:
                for line in log.read_text(errors="replace").splitlines():
                    match = _LINE.match(line)
                    if match is not None:
                        at_s = time.mktime(time.strptime(match["clock"], "%Y-%m-%d %H:%M:%S"))
                        yield match["id"], at_s, int(match["offset"]), int(match["size"])


def too_much(ways: Sequence[Way], kills: Sequence[float]) -> list[str]:
    """Name the ways over which more was moved again than kills excuse."""
    return [str(way) for way in ways if way.repeated_bytes > way.allowed_bytes(kills)]
