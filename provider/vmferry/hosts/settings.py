# SPDX-License-Identifier: Apache-2.0
"""How a machine is reached over SSH."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class SshSettings:
    """What the OpenSSH client needs to know; holds no secret, keys are files."""

    address: str
    """Name or address of the host."""
    user: str
    """Whom to log in as."""
    port: int = DEFAULT_PORT
    """Where its sshd listens."""
    identity: Path | None = None
    """The private key's file; without one, the agent's keys and the user's own."""
    known_hosts: Path | None = None
    """The host keys to trust; without one, the user's own file."""
    verify_host_key: bool = True
    """False trusts whoever answers: for throw-away networks only, and logged as a warning."""
    options: tuple[str, ...] = ()
    """More of ssh_config's, e.g. ``ProxyJump=bastion``. The user's own configuration is not read."""
    connect_timeout_s: int = 15
    """How long a connection may take."""
    alive_interval_s: int = 10
    """How often an idle connection is checked; three checks without an answer end it."""
    command_timeout_s: float = 60.0
    """How long an answer may take."""
    python: tuple[str, ...] = ("python3",)
    """What runs the engine over there, e.g. ``("python3.9",)`` where python3 is older."""
    multiplex: bool = True
    """Let all commands share one connection."""

    @property
    def destination(self) -> str:
        """Who and where, for messages and for ssh."""
        return f"{self.user}@{self.address}"
