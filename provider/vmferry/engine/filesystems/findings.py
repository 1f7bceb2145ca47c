# SPDX-License-Identifier: Apache-2.0
"""What our own look at a file system found, besides what its checker says."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Grows while a file system is read."""

    damage: list[str] = field(default_factory=list)
    """Broken whatever a journal may still hold."""
    doubts: list[str] = field(default_factory=list)
    """Broken, unless a journal that was not replayed mends it."""
    notes: list[str] = field(default_factory=list)
    """Odd but harmless."""
    incomplete: str = ""
    """Why nobody can judge from these bytes alone."""
    unsettled: bool = False
    """True when the journal holds changes that are not in place yet."""

    _MOST = 20

    def add_damage(self, what: str) -> None:
        """Note something broken; the first twenty are enough."""
        if len(self.damage) < self._MOST:
            self.damage.append(what)

    def add_doubt(self, what: str) -> None:
        """Note something that is broken unless the journal mends it."""
        if len(self.doubts) < self._MOST:
            self.doubts.append(what)
