# SPDX-License-Identifier: Apache-2.0
"""Run QEMU's command line tools and turn what they say into our errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

from vmferry.engine.errors import (
    BadInput,
    EngineError,
    NoSpace,
    NotADiskImage,
    RefusedImage,
    TargetInUse,
    TargetTooSmall,
    ToolMissing,
    Unreadable,
)

_PACKAGES = {"qemu-img": "qemu-utils", "qemu-nbd": "qemu-utils"}
_RHEL_PACKAGES = {"qemu-utils": "qemu-img"}
_STOP_VM = "shut down the VM or stop the program that has it open"

_MEANINGS: tuple[tuple[str, type[EngineError], str], ...] = (
    (r"Failed to get .*lock", TargetInUse, _STOP_VM),
    (r"No space left|quota exceeded", NoSpace, "free space, then run it again"),
    (r"File too large", TargetTooSmall, "use a file system that takes larger files"),
    (
        r"Permission denied|Operation not permitted|Read-only file system",
        Unreadable,
        "run as a user that may open it, or change its mode",
    ),
    (r"encrypt.key-secret", RefusedImage, "decrypt it with qemu-img convert first"),
    (r"No such file or directory", Unreadable, "check the path"),
    (r"Bitmap '.*' (is )?not found|[Cc]ould not find .*[Bb]itmap|Bitmap .*inconsistent", BadInput, "see qemu-img info"),
    (
        r"not in .* format|[Ii]nvalid|[Ww]rong|[Uu]nsupported|[Cc]ould not (open|read)|corrupt",
        NotADiskImage,
        "check the format",
    ),
)


def find_tool(name: str) -> str:
    """Return the path of a program, or raise `ToolMissing` naming the package that has it."""
    path = shutil.which(name)
    if path is None:
        package = _PACKAGES.get(name, name)
        other = _RHEL_PACKAGES.get(package, package)
        raise ToolMissing(
            f"the program {name} is not installed",
            fix=f"install the package {package} (RHEL, Oracle Linux: {other})",
        )
    return path


def run_tool(name: str, arguments: Sequence[str], about: str) -> str:
    """Run a tool to its end and return what it printed; raises what its error means for the image `about`.

    What it creates is for its owner alone.
    """
    command = [find_tool(name), *arguments]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, umask=0o077)
    if done.returncode:
        raise explain(done.stderr.decode(errors="replace"), f"{about}: {name} failed")
    return done.stdout.decode(errors="replace")


def explain(stderr: str, what: str) -> EngineError:
    """Turn a tool's complaint into one of our errors, in one line."""
    line = _telling_line(stderr)
    for pattern, kind, fix in _MEANINGS:
        if re.search(pattern, line):
            return kind(f"{what}: {line}", fix=fix)
    return EngineError(f"{what}: {line or 'it said nothing'}")


def _telling_line(stderr: str) -> str:
    """The first complaint says why; what follows says what could not be done because of it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "warning:" not in line]
    return re.sub(r"^qemu-\w+: |json:\{.*\}': ", "", lines[0]) if lines else ""
