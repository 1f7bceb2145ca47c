# SPDX-License-Identifier: Apache-2.0
"""What ssh means when it fails: its exit code 255 and what it wrote become one typed error."""

from __future__ import annotations

import re

from vmferry.engine.errors import EngineError, HostLost, TrustError
from vmferry.hosts.errors import AuthenticationFailed
from vmferry.hosts.settings import SshSettings

SSH_FAILED = 255

# What OpenSSH writes to stderr (8.0 to 9.9); the first that fits counts.
_TRUST = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|host key is known for")
_REFUSED = re.compile(r"Permission denied|Too many authentication failures|no mutual signature|Load key .*:")
_FINGERPRINT = re.compile(r"Server host key: (\S+) (SHA256:\S+)")
_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"


def explain(settings: SshSettings, stderr: str) -> EngineError:
    """Make the error for a connection that failed, from what ssh wrote."""
    if _TRUST.search(stderr):
        return _distrust(settings, stderr)
    where = f"{settings.destination} port {settings.port}"
    if _REFUSED.search(stderr):
        key = f"the key {settings.identity}" if settings.identity else "any key of the agent or the user"
        return AuthenticationFailed(
            f"{where} does not let us in with {key}: {last_line(stderr)}",
            fix="put the public key into ~/.ssh/authorized_keys of that user, and see that the key file is ours alone",
        )
    return HostLost(
        f"{where} does not answer: {last_line(stderr) or 'the connection broke'}",
        fix="see that the machine is up and its sshd can be reached from here; jobs on it may still be running",
    )


def last_line(text: str) -> str:
    """Give the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def find_fingerprint(stderr: str) -> str:
    """Find the offered host key in what ``ssh -v`` writes; empty when there is none."""
    match = _FINGERPRINT.search(stderr)
    return f"{match.group(1)} {match.group(2)}" if match else ""


def _distrust(settings: SshSettings, stderr: str) -> TrustError:
    known_hosts = str(settings.known_hosts or "~/.ssh/known_hosts")
    offered = find_fingerprint(stderr) or "a key"
    where = f"{settings.address} port {settings.port}"
    port = f"-p {settings.port} " if settings.port != 22 else ""
    check = f"on the host, compare with: ssh-keygen -lf /etc/ssh/ssh_host_{_type_of(offered)}_key.pub"
    add = f"ssh-keyscan {port}{settings.address} >> {known_hosts}"
    if _CHANGED in stderr:
        name = f"[{settings.address}]:{settings.port}" if settings.port != 22 else settings.address
        remove = f"ssh-keygen -f {known_hosts} -R '{name}'"
        return TrustError(
            f"{where} offers {offered}, which is not the host key in {known_hosts}: it was installed anew, or somebody"
            " stands in between",
            fix=f"{check}; only if they are equal: {remove}; {add}",
        )
    return TrustError(
        f"{where} offers {offered}, and {known_hosts} knows no key of it", fix=f"{check}; if they are equal: {add}"
    )


def _type_of(offered: str) -> str:
    name = offered.partition(" ")[0].lower()
    return next((kind for kind in ("ed25519", "ecdsa", "rsa") if kind in name), "ed25519")
