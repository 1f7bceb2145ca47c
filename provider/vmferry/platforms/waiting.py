# SPDX-License-Identifier: Apache-2.0
"""Waiting, as data: a table says what each state of a thing means, and one waiter reads it.

A bad end fails at once. A state that the table does not know (of a newer platform) is waited out; the message names it.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vmferry.platforms.errors import BadState, WaitedTooLong

GONE = "gone"
"""The state of something that is not there (any more)."""


class Outcome(enum.Enum):
    """What a state means to one who waits."""

    OK = "ok"
    """It is what we waited for."""
    WAIT = "wait"
    """Not yet."""
    FAIL = "fail"
    """It will never be."""


@dataclass(frozen=True, slots=True)
class WaitTable:
    """What the states of one kind of thing mean; the async trigger reads it too."""

    thing: str
    """What it is about, for messages."""
    states: Mapping[str, Outcome]
    error: type[BadState] = BadState
    """What a bad end is raised as."""

    def judge(self, state: str) -> Outcome:
        """Say what a state means."""
        return self.states.get(state, Outcome.WAIT)


def table(thing: str, *, ok: str = "", wait: str = "", fail: str = "", error: type[BadState] = BadState) -> WaitTable:
    """Write a table down: the states of each outcome, separated by spaces."""
    words = ((Outcome.OK, ok), (Outcome.WAIT, wait), (Outcome.FAIL, fail))
    return WaitTable(thing, {state: outcome for outcome, text in words for state in text.split()}, error)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to look."""

    timeout_s: float
    every_s: float = 1.0
    grace_s: float = 0.0
    """For so long a bad state may still be the old one: a VM is down for a moment after it was told to start."""
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic


def wait_for(waited: WaitTable, look: Callable[[], str], patience: Patience, *, name: str, fix: str = "") -> str:
    """Look until the state is a good one and give it; raises the table's error, or `WaitedTooLong`."""
    began = patience.clock()
    pause_s = min(0.1, patience.every_s)
    while True:
        state = look()
        outcome = waited.judge(state)
        past_s = patience.clock() - began
        if outcome is Outcome.OK:
            return state
        if outcome is Outcome.FAIL and past_s >= patience.grace_s:
            raise bad_end(waited, state, name=name, fix=fix)
        if past_s >= patience.timeout_s:
            raise WaitedTooLong(
                f"{name}: the {waited.thing} is still {state!r} after {patience.timeout_s:g} s",
                fix=fix or "look at the platform's events; run it again when it is done",
            )
        patience.sleep(min(pause_s, max(0.01, patience.timeout_s - past_s)))
        pause_s = min(pause_s * 1.5, patience.every_s)


def bad_end(waited: WaitTable, state: str, *, name: str, fix: str = "") -> BadState:
    """Make the error for a bad end."""
    error = waited.error(
        f"{name}: the {waited.thing} ended as {state!r}", fix=fix or "look at the platform's events for the reason"
    )
    error.state = state
    return error
