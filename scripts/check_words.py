"""Fails when a committed file holds what only makes sense on one machine, or what does not belong into git.

These are: hosts of package registries and options that name them (a mirror is the business of whoever
installs), paths of the machine it was written on, private keys, and files too large for a repository.
The patterns are put together from pieces so that this file is clean under its own rules.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.tree import list_files

MAX_FILE_BYTES = 500_000


class Rule(NamedTuple):
    """A pattern that no file may hold, and what to say about it."""

    pattern: re.Pattern[str]
    what: str


def _any_of(*pieces: tuple[str, ...]) -> str:
    return "|".join(re.escape("".join(piece)) for piece in pieces)


REGISTRIES = _any_of(
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("npm", "js.org"),
    ("proxy.go", "lang.org"),
    ("crates", ".io"),
    ("ruby", "gems.org"),
    ("deb.", "debian.org"),
    ("archive.", "ubuntu.com"),
)
OPTIONS = _any_of(
    ("--index", "-url"),
    ("--extra-index", "-url"),
    ("--default", "-index"),
    ("--find", "-links"),
    ("--trusted", "-host"),
    ("PIP_INDEX", "_URL"),
    ("PIP_EXTRA_INDEX", "_URL"),
    ("PIP_FIND", "_LINKS"),
    ("UV_INDEX", "_URL"),
    ("UV_DEFAULT", "_INDEX"),
)
PATHS = _any_of(("/wo", "rk/"), ("/roo", "t/."), ("/far", "m/"), ("/opt/py", "pi"), ("/opt/w", "heels"))
KEYS = "-----BEGIN" + r" [A-Z ]*PRIVATE KEY-----\s*\n[A-Za-z0-9+/=]{40}"

RULES = (
    Rule(re.compile(REGISTRIES, re.IGNORECASE), "the host of a package registry"),
    Rule(re.compile(rf"(?:{OPTIONS})(?![\w-])"), "an option that names a package registry"),
    Rule(re.compile(rf"(?<![\w.}}~])(?:{PATHS})"), "a path of one machine"),
    Rule(re.compile(KEYS), "a private key"),
)


def find_faults(path: Path, shown: str) -> Iterator[str]:
    """One line per place that breaks a rule; a file that is no text is only weighed."""
    raw = path.read_bytes()
    if len(raw) > MAX_FILE_BYTES:
        yield f"{shown}:1: {len(raw)} bytes, at most {MAX_FILE_BYTES}"
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return
    for rule in RULES:
        for match in rule.pattern.finditer(text):
            yield f"{shown}:{text.count(chr(10), 0, match.start()) + 1}: {rule.what}: {match.group().splitlines()[0]}"


def main() -> int:
    """Check every file of the repository we are in."""
    root = Path.cwd()
    faults = [fault for path in list_files(root) for fault in find_faults(path, str(path.relative_to(root)))]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
