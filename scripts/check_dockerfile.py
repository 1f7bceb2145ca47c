"""What `check_deployment` asks of the Dockerfile: pinned, not root in the end, our own scripts, sources that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

DOCKERFILE = "Dockerfile"
PINNED = re.compile(r"(?::(?!latest$)[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})$")
INSTALLS = re.compile(r"\b(?:apt-get|apt|pip3?|uv)\b(?=.*\binstall\b)")


class Instruction(NamedTuple):
    """One instruction, its continued lines joined."""

    line: int
    name: str
    words: list[str]

    @property
    def options(self) -> dict[str, str]:
        """Give what begins with ``--``."""
        found = (word[2:].partition("=") for word in self.words if word.startswith("--"))
        return {name: value for name, _, value in found}

    @property
    def arguments(self) -> list[str]:
        """Give the rest."""
        return [word for word in self.words if not word.startswith("--")]


def read_instructions(text: str) -> list[Instruction]:
    """Take a Dockerfile apart."""
    found, pending, begun = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = begun if pending else number
        pending += line.strip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            name, *words = pending.split()
            found.append(Instruction(begun, name.upper(), words))
            pending = ""
    return found


def check_dockerfile(root: Path) -> Iterator[str]:
    """Give all that is wrong."""
    instructions = read_instructions((root / DOCKERFILE).read_text())
    for line, fault in [*_check_stages(instructions), *_check_copies(root, instructions), *_check_runs(instructions)]:
        yield f"{DOCKERFILE}:{line}: {fault}"


def _check_stages(instructions: list[Instruction]) -> Iterator[tuple[int, str]]:
    stages: set[str] = set()
    user, line = "root", 0
    for one in instructions:
        if one.name == "FROM":
            image = one.arguments[0]
            user, line = "the base image's", one.line
            if image not in stages and not PINNED.search(image):
                yield one.line, f"{image} has no fixed version"
            stages |= set(one.arguments[2:3])
        elif one.name == "USER":
            user, line = one.arguments[0], one.line
    if not re.fullmatch(r"[1-9]\d*:0", user):
        yield line, f"the last USER is {user}; it must be a number that is not 0, and group 0"


def _check_copies(root: Path, instructions: list[Instruction]) -> Iterator[tuple[int, str]]:
    ignored = (root / ".dockerignore").read_text().splitlines()
    for one in instructions:
        if one.name == "ADD":
            yield one.line, "ADD unpacks and fetches; COPY does what it says"
        if one.name != "COPY" or "from" in one.options:
            continue
        for source in one.arguments[:-1]:
            if not (root / source).exists():
                yield one.line, f"{source} is not in the tree"
            elif _is_ignored(source, ignored):
                yield one.line, f"{source} is left out by .dockerignore"


def _check_runs(instructions: list[Instruction]) -> Iterator[tuple[int, str]]:
    for one in instructions:
        if one.name == "RUN" and INSTALLS.search(" ".join(one.words)):
            yield one.line, "installs by itself; scripts/install_packages.sh and install_image.sh do it, and are tested"
        if one.name in {"ENV", "ARG"} and re.search(r"PASSWORD|SECRET|TOKEN|FERNET", " ".join(one.words)):
            yield one.line, "a secret stays in the image for all to read"


def _is_ignored(source: str, rules: list[str]) -> bool:
    """The last rule that fits decides; one for a directory is one for all in it."""
    found = False
    places = [source, *(str(parent) for parent in Path(source).parents)]
    for rule in rules:
        pattern = rule.removeprefix("!").strip("/")
        if pattern and not rule.startswith("#") and any(fnmatch(place, pattern) for place in places):
            found = not rule.startswith("!")
    return found
