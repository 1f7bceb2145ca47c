# SPDX-License-Identifier: Apache-2.0
"""What the pump moves bytes between: the two promises every kind of endpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from vmferry.engine.extents import Extent

_WORKERS = 4
_OBJECT_WORKERS = 8


class Connection(Protocol):
    """One independent way to an endpoint's bytes; used by one thread at a time."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`, or raise (`ShortRead`, `SourceLost`). May be called again."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`, or raise (`NoSpace`, `TargetLost`). May be called again."""

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros, as a hole where the target can; old bytes never show through.

        Any length is allowed: the endpoint splits what its server would not take in one piece.
        """

    def flush(self) -> None:
        """Return when everything written through ANY connection of the endpoint survives a power cut."""

    def close(self) -> None:
        """Give the connection back. May be called twice."""


class Endpoint(Protocol):
    """Something with bytes: a file, a device, an image, a network export."""

    @property
    def name(self) -> str:
        """What to call it in a message; holds no secret."""

    @property
    def size(self) -> int:
        """Bytes a guest sees."""

    @property
    def identity(self) -> str:
        """Equal as long as these are the same bytes at the same place; a resumed copy compares it."""

    @property
    def reads_zero(self) -> bool:
        """True when, as a target, everything not yet written is known to read as zeros."""

    @property
    def max_connections(self) -> int:
        """How many connections may be open at once; 1 where the server cannot share."""

    def extents(self, since: str | None = None) -> Iterable[Extent]:
        """Stream the ranges in ascending order.

        Without `since`: all of the disk, no gaps. With `since` (a dirty bitmap or a checkpoint): only the ranges
        that changed, each data or zero; raises `BadInput` where the endpoint does not know that bitmap.
        """

    def connect(self) -> Connection:
        """Open one more connection."""

    def close(self) -> None:
        """Give back everything, child servers included. May be called twice."""


@dataclass(frozen=True)
class EndpointSpec:
    """Where bytes are, as plain data: goes into job.json, so it holds no secret."""

    kind: str
    """file · image · nbd · http · imageio · stream · null"""
    address: str
    """A path or a URL."""
    format: str = "raw"
    """For `image`: the format, which is forced and never probed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What this kind takes besides, e.g. {"tls_ca": PATH}. A secret is named here and given at opening."""

    @property
    def workers(self) -> int:
        """How many connections are of use when nobody says: an object storage limits each of them."""
        is_object = self.kind == "http" or "over" in self.options
        return _OBJECT_WORKERS if is_object else _WORKERS

    def to_json(self) -> dict[str, Any]:
        """Turn into what `from_json` reads."""
        return {"kind": self.kind, "address": self.address, "format": self.format, "options": dict(self.options)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EndpointSpec:
        """Read what `to_json` wrote."""
        return cls(str(raw["kind"]), str(raw["address"]), str(raw.get("format", "raw")), dict(raw.get("options", {})))
