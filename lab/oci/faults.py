"""Things that go wrong on demand. A rule says when it matches, what happens then, and how often."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

CALL_ACTIONS = ("status", "delay", "drop", "lose_answer", "malformed", "cut_body", "slow", "change_object")
"""On calls."""
PHASE_ACTIONS = ("phase", "stuck", "delay")
"""On things that are about to enter a state."""
CODES = {
    400: "InvalidParameter", 401: "NotAuthenticated", 404: "NotAuthorizedOrNotFound", 409: "IncorrectState",
    412: "NoEtagMatch", 429: "TooManyRequests", 500: "InternalServerError", 503: "ServiceUnavailable",
}  # fmt: skip


@dataclass
class Rule:
    """One fault."""

    action: str
    match: dict[str, Any] = field(default_factory=dict)
    """For calls: method, path, query, body (regular expressions). For things: kind, state (the one it is about to
    enter), id, name."""
    value: Any = None
    """status: the number · delay: seconds · phase: which · slow: bytes per second · cut_body: after how many bytes."""
    code: str = ""
    """status: the error code; by default the usual one of that number."""
    message: str = "[simulated fault]"
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
        if rule.action not in (*CALL_ACTIONS, *PHASE_ACTIONS):
            raise ValueError(f"no such fault: {rule.action}; there are {', '.join((*CALL_ACTIONS, *PHASE_ACTIONS))}")
        known = ("kind", "state", "id", "name") if _is_phase(rule) else ("method", "path", "query", "body")
        unknown = sorted(set(rule.match) - set(known))
        if unknown:
            raise ValueError(f"fault {rule.action} cannot match {unknown[0]}; it can {', '.join(known)}")
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
        return self._take(
            lambda rule: (
                not _is_phase(rule)
                and all(re.search(str(wish), facts.get(name, "")) for name, wish in rule.match.items())
            )
        )

    def take_phase(self, facts: dict[str, str]) -> Rule | None:
        """Take the fault of a thing that is about to enter a state."""
        return self._take(
            lambda rule: _is_phase(rule) and all(facts.get(name) == wish for name, wish in rule.match.items())
        )

    def _take(self, fits: Callable[[Rule], bool]) -> Rule | None:
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


def _is_phase(rule: Rule) -> bool:
    if rule.action == "delay":
        return "kind" in rule.match or "state" in rule.match
    return rule.action in PHASE_ACTIONS
