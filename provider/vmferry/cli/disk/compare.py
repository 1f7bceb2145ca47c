# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk compare``."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vmferry.cli.disk.group import LOCATION_HELP, disk, source_options
from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.engine.units import format_bytes

_PREFIX = "vmferry-compare-"


@command(
    disk,
    "compare",
    more=LOCATION_HELP,
    example="vmferry disk compare web01.qcow2 /dev/vdb\nvmferry disk compare before.proof after.proof",
)
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many ranges to name.")
@source_options
def compare_command(out: Output, left: str, right: str, limit: int, workers: int | None, **choice: Any) -> None:
    """Say whether A and B are the same disk (exit 0), or which guest offsets differ (exit 1).

    Each is a disk or a proof file made by `vmferry disk proof --output`.
    """
    from vmferry.engine.proof import ProofChain, compare

    with _scratch() as scratch:
        paths = [_proof_of(one, Path(scratch) / f"{n}.proof", choice, workers) for n, one in enumerate((left, right))]
        with ProofChain([paths[0]]) as ours, ProofChain([paths[1]]) as theirs:
            equal = ours.root == theirs.root
            ranges = list(itertools.islice(compare(ours, theirs), limit + 1))
            value = {
                "equal": equal,
                "roots": [ours.root.hex(), theirs.root.hex()],
                "sizes": [ours.size, theirs.size],
                "differences": [{"offset": one.offset, "length": one.length} for one in ranges[:limit]],
                "more": len(ranges) > limit,
            }
            out.result(value, _text(value))
    if not equal:
        sys.exit(Exit.VERDICT)


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """Give a directory for proofs. One that a kill left behind goes now: its lock has died with its process."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _held(path):
            shutil.rmtree(path)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as made, _held(Path(made)):
        yield made


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a directory's lock; raises OSError when somebody else does."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it is somebody else's", str(directory))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _proof_of(text: str, path: Path, choice: dict[str, Any], workers: int | None) -> Path:
    from vmferry.cli.disk.measuring import measure_location
    from vmferry.engine.proof.layout import MAGIC

    given = Path(text)
    if given.is_file():
        with given.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return given
    measure_location(text, choice, workers=workers, output=path)
    return path


def _text(value: dict[str, Any]) -> list[str]:
    if value["equal"]:
        return [f"equal: both have root {value['roots'][0]}"]
    lines = [f"different: {value['roots'][0][:16]}… and {value['roots'][1][:16]}…"]
    if value["sizes"][0] != value["sizes"][1]:
        lines.append(f"  sizes: {value['sizes'][0]} and {value['sizes'][1]} bytes")
    for one in value["differences"]:
        lines.append(f"  at {one['offset']:#x} ({one['offset']}): {format_bytes(one['length'])}")
    return [*lines, "  and more"] if value["more"] else lines
