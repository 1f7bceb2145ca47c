# SPDX-License-Identifier: Apache-2.0
"""Tries a copy over a new way when the way it went over broke: a daemon that was started again has lost our transfer.

Each way costs the platform little, and the copy goes on from its journal, so this saves a whole retry of the task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from vmferry.engine.errors import EngineError, Retry, SourceError, TargetError
from vmferry.platforms.errors import TransferFailed

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

MOST_WAYS = 3
_BROKEN_WAYS = (SourceError, TargetError, TransferFailed)


def over_ways(work: Callable[[], _Answer], name: str) -> _Answer:
    """Do the work; when its way breaks, do it again over a new one, a few times."""
    for _ in range(MOST_WAYS - 1):
        try:
            return work()
        except _BROKEN_WAYS as error:
            # A full disk, another source, a broken bitmap: a new way would lead to the same place.
            if error.retry is not Retry.BACKOFF:
                raise
            _log.warning("%s: %s; opening a new way", name, error.what)
    return work()


def log_second(error: EngineError, what: str) -> None:
    """Say what went wrong while cleaning up after something worse."""
    _log.error("%s: %s", what, error)
