"""The files of this repository, as git sees them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def list_files(root: Path, *patterns: str) -> list[Path]:
    """Files that git tracks or would add, and that are there; safe.directory: CI may clone as another user."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run([*command, "--", *patterns], cwd=root, check=True, capture_output=True, text=True).stdout
    return [root / name for name in sorted(set(found.split("\0"))) if name and (root / name).is_file()]
