"""Where the files of an xfs image lie, found by xfs_db, xfs's own debugger: nothing is mounted, no kernel is asked."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_EXTENT = re.compile(r"data offset \d+ startblock \d+ \((\d+)/(\d+)\) count (\d+) flag \d")


@dataclass(frozen=True, slots=True)
class XfsFile:
    """A file in the root folder."""

    size_bytes: int
    blocks: tuple[int, ...]
    """Offsets in the image of its blocks, in the file's order."""


def find_files(image: Path) -> dict[str, XfsFile]:
    """Find the files in the root folder. They must have no holes."""
    rows = [line.split() for line in _ask(image, "blockget -n", "ncheck").splitlines()]
    inodes = {name: inode for inode, name in rows}
    questions = [question for inode in inodes.values() for question in (f"inode {inode}", "p core.size", "bmap")]
    head, *answers = _ask(image, "sb 0", "p agblocks blocksize", *questions).split("core.size = ")
    group_blocks, block_bytes = (int(line.split()[-1]) for line in head.splitlines())
    found = {}
    for name, answer in zip(inodes, answers, strict=True):
        extents = (map(int, one) for one in _EXTENT.findall(answer))
        numbers = (group * group_blocks + first + at for group, first, count in extents for at in range(count))
        found[name] = XfsFile(int(answer.split()[0]), tuple(number * block_bytes for number in numbers))
    return found


def read_files(image: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files in the root folder."""
    fd = os.open(image, os.O_RDONLY)
    try:
        for name, file in find_files(image).items():
            yield name, b"".join(os.pread(fd, 4096, at) for at in file.blocks)[: file.size_bytes]
    finally:
        os.close(fd)


def _ask(image: Path, *questions: str) -> str:
    command = ["xfs_db", "-f", "-r", *(word for question in questions for word in ("-c", question)), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise RuntimeError(f"xfs_db {image} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
