"""Disks and specs for trying jobs, and the engine's command line as another program would use it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import vmferry
from vmferry.engine.jobs import JobKind, JobSpec
from vmferry.engine.units import MiB

PATIENCE_S = 60.0


def make_disk(path: Path, size_bytes: int, *, seed: int = 1) -> Path:
    """Write a raw disk full of bytes that do not compress."""
    path.write_bytes(random.Random(seed).randbytes(size_bytes))
    return path


def copy_spec(job_id: str, source: Path, target: Path, **params: Any) -> JobSpec:
    """Ask for a copy of one raw disk to another."""
    ends = {"source": {"kind": "file", "address": str(source)}, "target": {"kind": "file", "address": str(target)}}
    return JobSpec(job_id, JobKind.COPY, {**ends, **params})


def slowly(job_id: str, source: Path, target: Path) -> JobSpec:
    """Ask for a copy that takes longer than any test waits, until its rate is lifted."""
    return copy_spec(job_id, source, target, rate=MiB)


def request(spec: JobSpec, secrets: Mapping[str, str] | None = None) -> bytes:
    """Make what a job is started with on standard input."""
    return json.dumps({"spec": spec.to_json(), "secrets": dict(secrets or {})}).encode()


def engine_command(*words: str, python: Sequence[str] = (sys.executable,)) -> list[str]:
    """Make a command line of the engine from the source tree."""
    return [*python, "-m", "vmferry.engine", *words]


def engine_environment() -> dict[str, str]:
    """Make the environment in which `engine_command` finds the engine."""
    return {**os.environ, "PYTHONPATH": str(Path(vmferry.__file__).parent.parent)}


def ask_engine(*words: str, stdin: bytes = b"") -> tuple[int, list[dict[str, Any]]]:
    """Run a command of the engine; returns its exit code and the JSON lines it printed."""
    done = subprocess.run(engine_command(*words), input=stdin, stdout=subprocess.PIPE, env=engine_environment())
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def wait_until(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until the condition holds; raises when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:.0f} s in vain until {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
