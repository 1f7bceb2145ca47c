# SPDX-License-Identifier: Apache-2.0
"""The states of a job, and the one table of how it gets from one to another."""

from __future__ import annotations

import enum


class JobState(enum.Enum):
    """Where a job is in its life."""

    ABSENT = "absent"
    """There is no directory: nobody asked for it, or it was forgotten."""
    CREATED = "created"
    """The directory is there, but no process ever ran it: who made it died at once."""
    RUNNING = "running"
    """A process holds the owner lock."""
    DONE = "done"
    """It ended well; the result says what came out."""
    FAILED = "failed"
    """It ended with an error; the journal is kept and a new start goes on from there."""
    CANCELLED = "cancelled"
    """Somebody stopped it; the journal is kept and a new start goes on from there."""
    LOST = "lost"
    """The process is gone without a result (kill -9, reboot); a new start goes on from the journal."""

    @property
    def is_final(self) -> bool:
        """Tell whether a result is there."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.ABSENT: frozenset({JobState.CREATED}),
    JobState.CREATED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.ABSENT}),
    JobState.RUNNING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST}),
    JobState.DONE: frozenset({JobState.ABSENT}),
    JobState.FAILED: frozenset({JobState.RUNNING, JobState.ABSENT}),
    JobState.CANCELLED: frozenset({JobState.RUNNING, JobState.ABSENT}),
    JobState.LOST: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.ABSENT}),
}
"""From each state, those that can come next: a start leads to RUNNING, a forget to ABSENT."""

STARTABLE = frozenset(state for state, following in TRANSITIONS.items() if JobState.RUNNING in following)
FORGETTABLE = frozenset(state for state, following in TRANSITIONS.items() if JobState.ABSENT in following)
