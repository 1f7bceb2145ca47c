# SPDX-License-Identifier: Apache-2.0
"""What the imageio daemon means by a refusal: wait, or which error."""

from __future__ import annotations

from vmferry.engine.endpoints.web_retry import Outage
from vmferry.engine.errors import BadInput, EngineError

_GONE_FIX = "the driver must open a new transfer; the copy then goes on from its journal"


class TransferError(Exception):
    """A status of 400 or more, as `ImageioClient` raises its own."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(code)
        self.code = code
        self.text = body[:512].decode("utf-8", "replace")


def explain(status: int, text: str, outage: Outage, name: str, kind: type[EngineError]) -> None:
    """Return after a wait when asking again may help, else raise; the daemon's own text may hold the ticket."""
    if status >= 500:
        outage.wait(f"the daemon answers {status}; its log on the host says why, e.g. a full storage domain")
        return
    if status in (401, 403):
        if "No such ticket" in text and outage.ongoing:
            # A daemon that was started again has forgotten its tickets; whoever started it may bring them back.
            outage.wait("the daemon came back without our ticket")
            return
        raise kind(f"{name}: {_why_forbidden(text)}", fix=_GONE_FIX)
    if status == 404:
        raise kind(f"{name}: there is no such transfer", fix=_GONE_FIX)
    if status == 416:
        raise kind(f"{name}: the range lies outside of the disk (416)")
    raise BadInput(f"{name}: the daemon refuses the request ({status})")


def _why_forbidden(text: str) -> str:
    if "expired" in text:
        return "the transfer has expired"
    if "canceled" in text:
        return "the transfer was cancelled"
    if "forbids" in text:
        return "the transfer does not allow this direction"
    return "the transfer is not known to the daemon any more"
