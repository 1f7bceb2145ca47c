"""Does what the Dockerfile does, without a container engine: its copies and its own commands, in an empty directory.

Not done: fetching the base image, and what needs its user. The Python is the one that runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.check_dockerfile import DOCKERFILE, Instruction, read_instructions

BUILD_S = 900.0
PREFIX = "/opt/vmferry"


def build_image(root: Path, directory: Path) -> Path:
    """Run the stage `build` and give where what it installed is: the venv, DAGs, templates, and scripts in `bin`."""
    source, prefix = directory / "src", directory / "vmferry"
    source.mkdir(parents=True)
    for one in _stage(read_instructions((root / DOCKERFILE).read_text()), "build"):
        if one.name == "COPY":
            _copy(root, source, one)
        elif one.name == "RUN":
            _run(" ".join(one.words).replace(PREFIX, str(prefix)), source)
    return prefix


def _stage(instructions: list[Instruction], name: str) -> Iterator[Instruction]:
    inside = False
    for one in instructions:
        if one.name == "FROM":
            inside = one.arguments[-1] == name
        elif inside:
            yield one


def _copy(root: Path, source: Path, one: Instruction) -> None:
    *names, where = one.arguments
    for name in names:
        target = source / where / Path(name).name if where.endswith("/") else source / where
        target.parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, target)


def _run(command: str, where: Path) -> None:
    # Not of our own venv: the new one must not depend on it.
    python = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    environment = {**os.environ, "PYTHON": python}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        ["sh", "-euc", command], cwd=where, env=environment, capture_output=True, text=True, timeout=BUILD_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
