# SPDX-License-Identifier: Apache-2.0
"""A session with one engine: asks through outages, never for ever, and never makes a thing twice.

What the SDK leaves to us: it waits for ever by default, calls a proxy's error page an error without a code, keeps a
connection that broke, and logs passwords when debugging is on (so it never is).
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vmferry.engine.errors import EngineError, TrustError
from vmferry.platforms.asking import persist
from vmferry.platforms.errors import Conflict, LoginRefused, NotThere, OutcomeUnknown, Refused, SiteAway
from vmferry.platforms.ovirt.faults import translate
from vmferry.platforms.ovirt.sdk import sdk
from vmferry.platforms.ovirt.settings import OvirtSettings
from vmferry.platforms.ovirt.sso import log_in, log_out
from vmferry.platforms.ovirt.trust import check_engine, find_ca_file
from vmferry.platforms.waiting import GONE, Patience, WaitTable, wait_for

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class _Connection(sdk.Connection):  # type: ignore[misc] # the SDK has no types
    """The SDK's, with our log-in: its own has no timeout."""

    def __init__(self, settings: OvirtSettings, ca_file: str | None) -> None:
        self._ours = (settings, ca_file)
        super().__init__(
            url=settings.api_url,
            username=settings.user,
            password=settings.password,
            ca_file=ca_file,
            timeout=max(1, round(settings.timeout_s)),
            debug=False,
        )

    def _get_access_token(self) -> str:
        return log_in(*self._ours)

    def _revoke_access_token(self) -> None:
        log_out(*self._ours, self._sso_token)


class Session:
    """One engine. Used by several threads, which take turns: the SDK has one lock per connection anyway."""

    def __init__(self, settings: OvirtSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._connection: Any = None
        self._ca_file: str | None = None

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    @property
    def imageio_ca_file(self) -> str | None:
        """What the hosts' certificates are verified with."""
        if self.settings.imageio_ca_file is not None:
            return self.settings.imageio_ca_file
        if self._ca_file is None:
            self._ca_file = find_ca_file(self.settings)
        return self._ca_file

    def at_most(self, limit_s: float) -> float:
        """Give this limit, or the patience of the settings where that is less."""
        return min(limit_s, self.settings.wait_s)

    def ask(self, what: str, question: Callable[[Any], _Answer]) -> _Answer:
        """Ask something that changes nothing, or may be done twice; through outages up to `outage_s`."""
        return self._persist(lambda: self._once(what, question, change=False))

    def insist(self, what: str, order: Callable[[Any], _Answer], *, limit_s: float = 30.0) -> _Answer:
        """Ask for something that the engine may refuse for a moment: a lock that is about to go."""
        limit_s = self.at_most(limit_s)
        return self._persist(lambda: self._once(what, order, change=False), {Conflict: limit_s})

    def find(self, what: str, question: Callable[[Any], _Answer]) -> _Answer | None:
        """Ask for something that need not be there."""
        try:
            return self.ask(what, question)
        except NotThere:
            return None

    def make(self, what: str, look: Callable[[], _Answer | None], order: Callable[[Any], _Answer]) -> _Answer:
        """Make something unless it is there: after each broken connection it is looked up before it is made again.

        A refusal is looked behind as well: libcurl itself sends a POST a second time when the connection it had kept
        open dies without an answer, and the second one is told that the thing is there already.
        """

        def once() -> _Answer:
            found = look()
            if found is not None:
                return found
            try:
                return self._once(what, order, change=True)
            except (Conflict, Refused):
                found = look()
                if found is None:
                    raise
                return found

        return self._persist(once)

    def remove(self, what: str, order: Callable[[Any], object]) -> bool:
        """Remove something; False when it was gone already."""
        try:
            self.ask(what, order)
        except NotThere:
            return False
        return True

    def wait(
        self, waited: WaitTable, question: Callable[[Any], str], *, name: str, timeout_s: float | None = None,
        grace_s: float = 0.0, fix: str = "",
    ) -> str:  # fmt: skip
        """Wait for a state of a thing; it is `gone` when the engine does not know it."""
        limit_s = self.settings.wait_s if timeout_s is None else timeout_s

        def look() -> str:
            return self.find(f"{name}: looking at the {waited.thing}", question) or GONE

        return wait_for(waited, look, Patience(limit_s, self.settings.poll_s, grace_s), name=name, fix=fix)

    def _persist(self, work: Callable[[], _Answer], more: Mapping[type[EngineError], float] | None = None) -> _Answer:
        return persist(self.site, work, {SiteAway: self.settings.outage_s, **(more or {})})

    def _once(self, what: str, question: Callable[[Any], _Answer], *, change: bool) -> _Answer:
        what = f"site {self.site}, {what}"
        with self._lock:
            try:
                return question(self._connect().system_service())
            except sdk.Error as error:
                if error.code is None:
                    # The SDK never lets go of a transfer that failed inside its connection.
                    self._drop()
                raise translate(error, what, sent_change=change) from error
            except EngineError as error:
                if not isinstance(error, SiteAway):
                    raise
                # Our own log-in, in the middle of a request whose token had run out.
                self._drop()
                raise SiteAway(f"{what}: {error.what}", fix=error.fix) from error
            except Exception as error:
                if not _is_of_reader(error):
                    raise
                self._drop()
                kind = OutcomeUnknown if change else SiteAway
                raise kind(f"{what}: the engine's answer cannot be read ({error})", fix="run it again") from error

    def _connect(self) -> Any:
        if self._connection is None:
            ca_file = find_ca_file(self.settings)
            check_engine(self.settings, ca_file)
            self._ca_file = ca_file
            self._connection = _Connection(self.settings, ca_file)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(logout=False)

    def close(self) -> None:
        """Log out. May be called twice."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                connection.close(logout=True)
            except (sdk.Error, SiteAway, LoginRefused, TrustError):
                # An engine that is away cannot be told; the token ends by itself.
                _log.info("site=%s the log-out was not heard", self.site)


def _is_of_reader(error: Exception) -> bool:
    """Tell whether the SDK could not read an answer; all else is a bug of ours.

    Its XML reader raises plain Exception where an answer is cut off, and ValueError where that is inside of a number.
    """
    if type(error) is Exception:
        return True
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, ValueError) and bool(frames) and frames[-1].startswith(sdk.__name__)
