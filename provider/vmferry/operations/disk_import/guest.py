# SPDX-License-Identifier: Apache-2.0
"""The worker from inside: logging in with the host key that we gave it, and what has to be there before a job runs."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vmferry.engine.errors import HostLost
from vmferry.hosts.errors import HostUnfit
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.ssh_client import SshClient
from vmferry.platforms.errors import WaitedTooLong
from vmferry.platforms.oci import OciSettings

LOGIN_S = 600.0
CLOUD_INIT_S = 900.0
DEVICE_S = 120.0
_EVERY_S = 2.0


@contextlib.contextmanager
def ssh_settings(settings: OciSettings, address: str, host_key: str) -> Iterator[SshSettings]:
    """Say how to reach a worker; the file of known hosts lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="vmferry-worker-") as directory:
        known_hosts = Path(directory) / "known_hosts"
        place = address if settings.ssh_port == 22 else f"[{address}]:{settings.ssh_port}"
        known_hosts.write_text(f"{place} {host_key}\n")
        home = "/root" if settings.ssh_user == "root" else f"/home/{settings.ssh_user}"
        yield SshSettings(
            address=address,
            user=settings.ssh_user,
            port=settings.ssh_port,
            identity=Path(settings.ssh_key_file),
            known_hosts=known_hosts,
            # Devices belong to root. sudo would take root's home, and the jobs' directories with it.
            python=("sudo", "-n", "env", f"HOME={home}", "python3"),
        )


@contextlib.contextmanager
def open_host(settings: OciSettings, address: str, host_key: str) -> Iterator[SshHost]:
    """Give the worker as a host for jobs."""
    with ssh_settings(settings, address, host_key) as reach, SshHost(reach) as host:
        yield host


def wait_cloud_init(settings: OciSettings, address: str, host_key: str) -> None:
    """Wait until the worker lets us in and its first boot is done; raises `HostUnfit` when that ended badly."""
    with ssh_settings(settings, address, host_key) as reach, contextlib.closing(SshClient(reach)) as client:
        _until(f"worker {address} to let us in", LOGIN_S, lambda: _lets_in(client))
        _until(f"the first boot of worker {address}", CLOUD_INIT_S, lambda: _has_booted(client, address))


def wait_for_device(settings: OciSettings, address: str, host_key: str, device: str) -> None:
    """Wait until the worker sees the volume; OCI says so a moment earlier."""
    with ssh_settings(settings, address, host_key) as reach, contextlib.closing(SshClient(reach)) as client:
        _until(f"{device} at worker {address}", DEVICE_S, lambda: client.run(f"test -b {device}").code == 0)


def _lets_in(client: SshClient) -> bool:
    try:
        return client.run("true").code == 0
    except HostLost:
        return False  # sshd does not listen yet


def _has_booted(client: SshClient, address: str) -> bool:
    try:
        answer = client.run("cloud-init status --long --format json 2>/dev/null || cloud-init status")
    except HostLost:
        return False  # it may boot once more
    text = answer.stdout.decode(errors="replace")
    status, errors = _read_status(text)
    if status == "error":
        raise HostUnfit(
            f"the first boot of worker {address} ended with an error: {errors or text.strip()[-300:]}",
            fix="see /var/log/cloud-init-output.log there; the next try makes another worker once this one is ended",
        )
    return status in ("done", "degraded")


def _read_status(text: str) -> tuple[str, str]:
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        return str(found.get("status", "")), "; ".join(map(str, found.get("errors") or []))
    return text.partition("status:")[2].split("\n")[0].strip(), ""


def _until(what: str, timeout_s: float, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise WaitedTooLong(f"waited {timeout_s:g} s for {what}", fix="look at the instance in OCI's console")
        time.sleep(_EVERY_S)
