# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a host; the rest is in `vmferry.engine.errors` (`HostLost`, `TrustError`).

::

    EngineError
    ├── AuthenticationFailed    the host is there and does not let us in
    ├── ForwardFailed           a socket of the host could not be brought here
    ├── HostConfused            the host answered something that is not the engine's
    └── BadInput
        └── HostUnfit           the host cannot run the engine: no python3, or one that is too old
"""

from __future__ import annotations

from vmferry.engine.errors import BadInput, EngineError, Retry


class AuthenticationFailed(EngineError):
    """The host is there and does not let us in."""

    retry = Retry.NEVER


class ForwardFailed(EngineError):
    """A socket of the host could not be brought here."""


class HostConfused(EngineError):
    """The host answered something that is not the engine's."""


class HostUnfit(BadInput):
    """The host cannot run the engine."""
