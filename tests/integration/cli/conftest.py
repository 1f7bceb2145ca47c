"""Runs the real command in a process of its own, with a state directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture
def vmferry(tmp_path: Path) -> Run:
    """Give a function that runs ``vmferry ARGUMENTS`` in the test's directory."""

    def run(*arguments: object, code: int = 0, stdin: str = "", **environment: str) -> Answer:
        command = [str(Path(sys.executable).with_name("vmferry")), *map(str, arguments)]
        settings = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), **environment}
        done = subprocess.run(
            command, cwd=tmp_path, env=settings, input=stdin, capture_output=True, text=True, check=False, timeout=100
        )
        answer = Answer(done.returncode, done.stdout, done.stderr)
        assert answer.code == code, f"{' '.join(command)}: exit {answer.code}\n{answer.out}\n{answer.err}"
        assert "Traceback" not in answer.err, answer.err
        return answer

    return run


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Give a raw disk with some data and a hole, of an odd size."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(os.urandom(3 << 20))
        file.truncate((9 << 20) + 700)
    return path


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Remember every file below a directory, to see that nothing changed; a lock's empty file is no change."""
    return {
        str(path.relative_to(directory)): (path.stat().st_size, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".reading" and "state" not in path.relative_to(directory).parts
    }
