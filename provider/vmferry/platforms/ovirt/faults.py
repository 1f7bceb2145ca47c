# SPDX-License-Identifier: Apache-2.0
"""What the SDK raises, as our errors. The status decides; the engine's own words go into the message."""

from __future__ import annotations

from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.platforms.errors import Conflict, NotPermitted, NotThere, OutcomeUnknown, Refused, SiteAway

_KINDS: dict[int, tuple[type[EngineError], str]] = {
    400: (Refused, "the engine calls the request wrong; its own words say why"),
    401: (NotPermitted, "the session is not accepted although the log-in was; look at the engine's log"),
    403: (NotPermitted, "give the user the permission at the engine (see docs/ovirt.md)"),
    404: (NotThere, "it is gone, or the user may not see it"),
    409: (Conflict, "wait until it is free, or look at the engine's events"),
    410: (NotThere, "it is gone"),
}
_OFTEN_TRANSIENT = (408, 425, 429)


def translate(error: Any, what: str, *, sent_change: bool = False) -> EngineError:
    """Make our error from one of the SDK's; `what` says what was tried and on which VM or disk."""
    code = error.code
    if code is None:
        # Either the connection broke, or the answer was a page in HTML: a proxy whose engine is not there.
        kind = OutcomeUnknown if sent_change else SiteAway
        return kind(
            f"{what}: no answer of the engine ({_first_line(error)})",
            fix="run it again when the engine is up; is the address that of its API?",
        )
    if code in _KINDS:
        kind_of, fix = _KINDS[code]
        return kind_of(f"{what}: {read_reason(error)}", fix=fix)
    if code >= 500 or code in _OFTEN_TRANSIENT:
        return SiteAway(f"{what}: the engine answers {code}: {read_reason(error)}", fix="run it again later")
    return Refused(f"{what}: the engine answers {code}: {read_reason(error)}")


def read_reason(error: Any) -> str:
    """Give the engine's own words."""
    fault = error.fault
    words = (fault.detail or fault.reason) if fault is not None else None
    return str(words).strip("[] \n") if words else _first_line(error)


def _first_line(error: Any) -> str:
    return str(error).strip().partition("\n")[0][:300]
