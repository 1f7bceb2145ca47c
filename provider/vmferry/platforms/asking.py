# SPDX-License-Identifier: Apache-2.0
"""Asking a site again: through its absences and short refusals, each for as long as it is worth, never for ever."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from vmferry.engine.errors import EngineError

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


def persist(site: str, work: Callable[[], _Answer], limits_s: Mapping[type[EngineError], float]) -> _Answer:
    """Do it until it works, or until what stands in its way has lasted for the seconds of its kind."""
    began, pause_s = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            return work()
        except tuple(limits_s) as error:
            limit_s = next(limit for kind, limit in limits_s.items() if isinstance(error, kind))
            left_s = began + limit_s - time.monotonic()
            if left_s <= 0:
                raise
            _log.warning("site=%s %s; asking again for %.0f s", site, error.what, left_s)
            time.sleep(min(left_s, pause_s * random.uniform(0.7, 1.0)))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
