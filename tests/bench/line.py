"""A line of the bench: what is compared, which gate it has to meet, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Outcome:
    """One figure and its gate."""

    what: str
    value: float
    gate: float
    at_least: bool = False
    """The gate is a lower bound."""
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether the gate is met."""
        return self.value >= self.gate if self.at_least else self.value <= self.gate

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {"what": self.what, "value": round(self.value, 3), "gate": self.gate, "at_least": self.at_least,
                "holds": self.holds, "detail": self.detail}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """What a line gets to work with."""

    room: Path
    """An empty directory on a real disk."""
    rounds: int
    tell: Callable[[str], None]

    def vmferry(self, *arguments: str) -> list[str]:
        """Build a command line of ours."""
        import sys

        return [str(Path(sys.executable).with_name("vmferry")), *arguments]


class Line(Protocol):
    """A line: measures, and gives its outcomes."""

    def __call__(self, bench: Bench) -> list[Outcome]:
        """Run it."""
