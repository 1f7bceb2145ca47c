# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files, read once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vmferry.vault.backup import StoredFile


def file_sha256(path: Path) -> str:
    """Hash a file; right after writing it comes from the page cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store(path: Path, name: str | None = None) -> StoredFile:
    """Describe a file that is complete."""
    return StoredFile(name or path.name, path.stat().st_size, file_sha256(path))
