"""A real Redis on loopback, Celery's queue. It ends with this process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lab.airflow.airflow_home import LEASH, free_ports

READY_S = 60.0


@contextlib.contextmanager
def redis_running(directory: Path, password: str) -> Iterator[str]:
    """Run one for the length of a block, and give its host and port."""
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    settings = directory / "redis.conf"
    settings.touch(mode=0o600)
    settings.write_text(f"requirepass {password}\nbind 127.0.0.1\nport {port}\ndir {directory}\n")
    with (directory / "log").open("ab") as log:
        leash = subprocess.Popen(
            [sys.executable, "-P", str(LEASH), "redis-server", str(settings)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(leash, directory / "log", port, password)
        yield f"127.0.0.1:{port}"
    finally:
        leash.terminate()
        leash.wait()


def _wait(leash: subprocess.Popen[bytes], log: Path, port: int, password: str) -> None:
    deadline = time.monotonic() + READY_S
    ask = ["redis-cli", "-h", "127.0.0.1", "-p", str(port), "ping"]
    while (
        b"PONG"
        not in subprocess.run(ask, env={"REDISCLI_AUTH": password, "PATH": "/usr/bin:/bin"}, capture_output=True).stdout
    ):
        if leash.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
