# SPDX-License-Identifier: Apache-2.0
"""Brings a socket of a host here, through an ssh of its own."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vmferry.engine.errors import HostLost
from vmferry.hosts.child import bound, stop
from vmferry.hosts.errors import ForwardFailed
from vmferry.hosts.ssh_client import SshClient
from vmferry.hosts.ssh_command import build_forward
from vmferry.hosts.ssh_failure import last_line
from vmferry.hosts.ssh_shared import SSH_GRACE_S, english_environment

_LOOK_S = 0.02
_SO_ACCEPTCON = 0x10000
_numbers = itertools.count(1)


@contextlib.contextmanager
def forward(client: SshClient, remote: Path | int) -> Iterator[Path]:
    """Give a unix socket that leads to the host's; it accepts when it is given, and is gone at the end."""
    local = client.directory() / f"forward-{next(_numbers)}"
    with tempfile.TemporaryFile() as complaints:
        argv = bound(build_forward(client.settings, local, remote))
        quiet = subprocess.DEVNULL
        process = client.spawner.spawn(argv, stdin=quiet, stdout=quiet, stderr=complaints, env=english_environment())
        try:
            _wait(client, process, local, complaints.fileno())
            yield local
        finally:
            stop(process, grace_s=SSH_GRACE_S)
            local.unlink(missing_ok=True)


def _wait(client: SshClient, process: subprocess.Popen[bytes], local: Path, complaints: int) -> None:
    deadline = time.monotonic() + client.settings.connect_timeout_s + 5
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _problem(client, Path(f"/proc/self/fd/{complaints}").read_text(errors="replace"))
        if _listens(local):
            return
        time.sleep(_LOOK_S)
    raise HostLost(f"{client.settings.destination} brought no socket in time", fix="see that the machine is well")


def _problem(client: SshClient, stderr: str) -> Exception:
    if "forward" in stderr.lower():
        what = f"{client.settings.destination} forwards no sockets: {last_line(stderr)}"
        return ForwardFailed(what, fix="allow AllowStreamLocalForwarding and AllowTcpForwarding in its sshd_config")
    return client.explain(stderr)


def _listens(path: Path) -> bool:
    """Tell whether somebody listens, without connecting: that would go through, and qemu-nbd counts its clients."""
    with Path("/proc/net/unix").open(encoding="utf-8", errors="replace") as table:
        return any(_is_listener(line.split(), str(path)) for line in table)


def _is_listener(fields: list[str], path: str) -> bool:
    """Read a line: Num RefCount Protocol Flags Type St Inode Path."""
    return len(fields) == 8 and fields[7] == path and bool(int(fields[3], 16) & _SO_ACCEPTCON)
