# SPDX-License-Identifier: Apache-2.0
"""qemu-img: look at images, make them, check them. The format is always said, never guessed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine.errors import Unreadable
from vmferry.engine.qemu.tools import explain, find_tool, run_tool


@dataclass(frozen=True)
class ImageInfo:
    """What an image's header says."""

    virtual_size_bytes: int
    """Bytes a guest sees."""
    backing_file: str | None
    """The name in the header, as it stands there."""
    bitmaps: tuple[str, ...]
    """Persistent dirty bitmaps that can be used."""


@dataclass(frozen=True)
class CheckResult:
    """What `qemu-img check` found."""

    errors: int
    """Places where the image contradicts itself."""
    leaks: int
    """Clusters that nothing points to: a waste, no harm."""
    repaired: int
    """Leaks and errors that are gone now."""


def read_info(path: str, image_format: str) -> ImageInfo:
    """Read an image's header; works while a VM uses the image."""
    info = json.loads(run_tool("qemu-img", ["info", "--output=json", "-U", "-f", image_format, _whole(path)], path))
    special = info.get("format-specific", {}).get("data", {})
    bitmaps = (bitmap for bitmap in special.get("bitmaps", []) if "in-use" not in bitmap["flags"])
    return ImageInfo(info["virtual-size"], info.get("backing-filename"), tuple(bitmap["name"] for bitmap in bitmaps))


def create_image(path: str, image_format: str, size_bytes: int, options: Mapping[str, str]) -> None:
    """Make an empty image: in another folder or under another name first, so that one at `path` is always whole.

    That place is the same every time: what a kill leaves there is overwritten by the next try.
    """
    final = Path(_whole(path))
    unfinished = final.with_name(f".{final.name}.unfinished")
    if image_format == "vmdk":  # may be several files that name each other: they get their names from the first
        unfinished.mkdir(exist_ok=True)
        _run_create(unfinished / final.name, path, image_format, size_bytes, options)
        parts = sorted(unfinished.iterdir(), key=lambda part: part.name == final.name)
        for part in parts:
            part.replace(final.with_name(part.name))
        unfinished.rmdir()
    else:
        _run_create(unfinished, path, image_format, size_bytes, options)
        unfinished.replace(final)


def _run_create(at: Path, about: str, image_format: str, size_bytes: int, options: Mapping[str, str]) -> None:
    pairs = [part for name, value in sorted(options.items()) for part in ("-o", f"{name}={value.replace(',', ',,')}")]
    run_tool("qemu-img", ["create", "-q", "-f", image_format, *pairs, str(at), str(size_bytes)], about)


def check_image(path: str, image_format: str, *, repair: str | None = None) -> CheckResult:
    """Check an image's structure; `repair` is "leaks" or "all"."""
    arguments = ["check", "--output=json", "-f", image_format, *(["-r", repair] if repair else []), _whole(path)]
    done = subprocess.run([find_tool("qemu-img"), *arguments], capture_output=True, check=False)
    if done.returncode not in (0, 2, 3):  # 2: errors, 3: leaks
        raise explain(done.stderr.decode(errors="replace"), f"{path}: qemu-img check failed")
    found = json.loads(done.stdout)
    repaired = found.get("corruptions-fixed", 0) + found.get("leaks-fixed", 0)
    return CheckResult(found.get("corruptions", 0), found.get("leaks", 0), repaired)


def resize_image(path: str, image_format: str, size_bytes: int) -> None:
    """Set the virtual size; what lies behind a smaller one is lost."""
    run_tool("qemu-img", ["resize", "-q", "--shrink", "-f", image_format, _whole(path), str(size_bytes)], path)


def measure_image(path: str, image_format: str, *, target_format: str = "qcow2") -> int:
    """Return the bytes a copy in `target_format` needs at most, given what is allocated now."""
    arguments = ["measure", "--output=json", "-U", "-f", image_format, "-O", target_format, _whole(path)]
    return int(json.loads(run_tool("qemu-img", arguments, path))["required"])


def file_node(path: str) -> dict[str, Any]:
    """Build the lowest layer of a block graph: a file or a block device."""
    return {"driver": "host_device" if Path(path).is_block_device() else "file", "filename": _whole(path)}


def _whole(path: str) -> str:
    """Make a path absolute: of a relative one with a colon, QEMU takes the first part for a protocol."""
    whole = str(Path(path).absolute())
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise Unreadable(f"{path!a}: QEMU takes only names in UTF-8", fix="rename the file") from error
    return whole
