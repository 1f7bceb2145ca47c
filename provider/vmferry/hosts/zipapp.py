# SPDX-License-Identifier: Apache-2.0
"""Packs the engine into one file that any Python 3.9 or later runs: ``python -m vmferry.hosts.zipapp OUT``.

The same source gives the same bytes (names sorted, times and modes fixed), so the hash of the file says which engine
it is, and a host that has that hash needs nothing shipped.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import vmferry

SHEBANG = b"#!/usr/bin/env python3\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold

# Plain enough for every Python 3, so that one too old gets a sentence and not a SyntaxError.
_MAIN = b"""import sys

if sys.version_info < (3, 9):
    sys.exit("vmferry-engine needs Python 3.9 or later, this is %d.%d" % sys.version_info[:2])

from vmferry.engine.command import main

sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Zipapp:
    """The packed engine."""

    path: Path
    """The file, in the cache of this user."""
    sha256: str
    """Of the file, in hexadecimal."""


def build_zipapp() -> bytes:
    """Pack the engine."""
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in _members():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, whatever machine packs
            info.external_attr = 0o100644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def cached_zipapp(cache: Path | None = None) -> Zipapp:
    """Give the packed engine, packing it when this source has not been packed before."""
    directory = cache or _default_cache()
    path = directory / f"engine-source-{_source_hash()}.pyz"
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_zipapp(path)
    return Zipapp(path, hashlib.sha256(path.read_bytes()).hexdigest())


def write_zipapp(path: Path) -> None:
    """Write the packed engine in one step: nobody ever runs half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".engine-", delete=False) as file:
        try:
            file.write(build_zipapp())
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o755)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _members() -> list[tuple[str, bytes]]:
    """List the names and contents of what goes in, sorted by name."""
    package = Path(vmferry.__file__).parent
    sources = [package / "__init__.py", *(package / "engine").rglob("*.py")]
    members = [(path.relative_to(package.parent).as_posix(), path.read_bytes()) for path in sources]
    return sorted([("__main__.py", _MAIN), *members])


def _source_hash() -> str:
    digest = hashlib.sha256(SHEBANG)
    for name, data in _members():
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vmferry"


def main(argv: list[str]) -> int:
    """Write the packed engine where the one argument says."""
    if len(argv) != 1:
        print("usage: python -m vmferry.hosts.zipapp OUT", file=sys.stderr)
        return 2
    write_zipapp(Path(argv[0]))
    print(f"{hashlib.sha256(Path(argv[0]).read_bytes()).hexdigest()}  {argv[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
