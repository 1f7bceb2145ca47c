"""Things that go wrong on demand. A rule says when it matches, what happens then, and how often."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

# On calls.
HTTP_ACTIONS = ("status", "html503", "401", "409", "delay", "drop", "lose_answer", "malformed")
# On things that change their phase.
PHASE_ACTIONS = ("phase", "failed", "paused", "stuck", "slow", "broken_bitmap", "wrong_size")
# On either.
HOST_ACTIONS = ("kill_imageio", "restart_imageio", "crash_qemu", "kill_engine")
ACTIONS = (*HTTP_ACTIONS, *PHASE_ACTIONS, *HOST_ACTIONS)


@dataclass
class Rule:
    """One fault."""

    action: str
    match: dict[str, Any] = field(default_factory=dict)
    """For calls: method, path, query, body (regular expressions). For things: entity (vm, disk, snapshot, backup,
    transfer), phase (the one it is about to enter), id, disk, direction."""
    value: Any = None
    """status: the code · delay: seconds · phase: which · slow: bytes per second · wrong_size: bytes to add."""
    detail: str = "[simulated fault]"
    times: int = 1
    """How often; -1 for ever."""
    skip: int = 0
    """Let so many matches pass first."""
    used: int = 0


class Faults:
    """The rules there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, raw: dict[str, Any]) -> None:
        """Add a rule; raises ValueError for one that could never do anything."""
        rule = Rule(**raw)
        if rule.action not in ACTIONS:
            raise ValueError(f"no such fault: {rule.action}; there are {', '.join(ACTIONS)}")
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def list(self) -> list[dict[str, Any]]:
        """Show all rules, spent ones too."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def take_call(self, method: str, path: str, query: str, body: str) -> Rule | None:
        """Take the fault of a call that begins now."""
        facts = {"method": method, "path": path, "query": query, "body": body}

        def fits(rule: Rule) -> bool:
            if rule.action in PHASE_ACTIONS or "entity" in rule.match:
                return False
            return all(re.search(str(wish), facts.get(name, "")) for name, wish in rule.match.items())

        return self._take(fits)

    def take_phase(self, entity: str, facts: dict[str, Any]) -> Rule | None:
        """Take the fault of a thing that is about to enter a phase."""

        def fits(rule: Rule) -> bool:
            if rule.match.get("entity") != entity or (rule.action in HTTP_ACTIONS and rule.action != "delay"):
                return False
            return all(str(facts.get(name)) == str(wish) for name, wish in rule.match.items() if name != "entity")

        return self._take(fits)

    def _take(self, fits: Any) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.times == 0 or not fits(rule):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.times -= 1 if rule.times > 0 else 0
                rule.used += 1
                return rule
        return None
