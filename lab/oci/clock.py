"""Takes things on to their next state when their time has come."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.oci.model import Thing

if TYPE_CHECKING:
    from lab.oci.faults import Rule
    from lab.oci.site import Site

PERIOD_S = 0.02
LAST_STATES = ("TERMINATED", "DETACHED", "DELETED")
Action = Callable[["Site", Thing], None]
ENTRIES: dict[tuple[str, str], Action] = {}
"""What has to be done for a thing of a kind to enter a state; it may take long and runs outside the lock."""


def on_entry(kind: str, state: str) -> Callable[[Action], Action]:
    """Let a function be called before a thing of a kind is shown in a state."""

    def register(action: Action) -> Action:
        ENTRIES[kind, state] = action
        return action

    return register


class Clock:
    """Never two steps of one thing at once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._busy: set[str] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._site.lock:
                now = time.time()
                things = list(self._site.inventory.things.values())
                due = [one for one in things if 0 < one.due <= now and one.plan and one.id not in self._busy]
                self._busy.update(one.id for one in due)
            for thing in due:
                self._site.later(self._step, thing)
            time.sleep(PERIOD_S)

    def _step(self, thing: Thing) -> None:
        try:
            advance(self._site, thing)
        except Exception:  # noqa: BLE001 - a border: whatever a step does not expect must not stop the clock
            traceback.print_exc()
            with self._site.lock:
                thing.due = time.time() + 1.0
        finally:
            with self._site.lock:
                self._busy.discard(thing.id)
                self._site.save()


def advance(site: Site, thing: Thing) -> None:
    """Let a thing enter the next state of its plan, or what a fault makes of that."""
    with site.lock:
        if not thing.plan:
            return
        step = thing.plan[0]
        name = str(thing.wire.get("displayName") or "")
        rule = site.faults.take_phase({"kind": thing.kind, "state": step.state, "id": thing.id, "name": name})
    if rule is not None:
        _go_wrong(site, thing, rule)
        return
    _act(site, thing, step.state)
    with site.lock:
        if not thing.plan or thing.plan[0] is not step:
            return  # somebody else decided otherwise meanwhile
        enter(thing, step.state)
        thing.follow(*thing.plan[1:])


def enter(thing: Thing, state: str) -> None:
    """Be in a state now; remembers when it was the last."""
    thing.enter(state)
    if state in LAST_STATES:
        thing.gone = time.time()


def force(site: Site, thing: Thing, state: str) -> None:
    """Put a thing into a state that nobody planned, with all that belongs to it, and leave it there."""
    with site.lock:
        thing.follow()
    _act(site, thing, state)
    with site.lock:
        enter(thing, state)


def _act(site: Site, thing: Thing, state: str) -> None:
    action = ENTRIES.get((thing.kind, state))
    if action is not None:
        action(site, thing)


def _go_wrong(site: Site, thing: Thing, rule: Rule) -> None:
    if rule.action == "phase":
        force(site, thing, str(rule.value))
    else:
        with site.lock:
            thing.due = time.time() + float(rule.value) if rule.action == "delay" else 0.0
