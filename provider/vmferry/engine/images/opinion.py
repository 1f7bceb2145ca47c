# SPDX-License-Identifier: Apache-2.0
"""Ask ``qemu-img info`` what it thinks of an image that our own parser found harmless."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from vmferry.engine.errors import RefusedImage, ToolMissing
from vmferry.engine.images.facts import ImageFacts, Limits
from vmferry.engine.images.reader import FileReader

_NAMES_ANOTHER_FILE = ("backing-filename", "full-backing-filename")


def check_opinion(reader: FileReader, facts: ImageFacts, limits: Limits) -> None:
    """Refuse the image when qemu-img cannot read it or sees something else in it; raises `RefusedImage`."""
    for program, package in (("qemu-img", "qemu-utils"), ("prlimit", "util-linux")):
        if shutil.which(program) is None:
            raise ToolMissing(
                f"{facts.name}: the program {program} is not installed", fix=f"install the package {package}"
            )
    info = _ask(reader, facts, limits)
    special = info.get("format-specific", {}).get("data", {})
    if any(info.get(key) for key in _NAMES_ANOTHER_FILE) or special.get("data-file"):
        raise RefusedImage(f"{facts.name}: qemu-img finds that it needs another file")
    if info.get("encrypted"):
        raise RefusedImage(f"{facts.name}: is encrypted and there is no key", fix="decrypt it first")
    if info.get("format") != facts.format or info.get("virtual-size") != facts.virtual_size_bytes:
        raise RefusedImage(
            f"{facts.name}: qemu-img sees {info.get('format')} of {info.get('virtual-size')} bytes, we see "
            f"{facts.format} of {facts.virtual_size_bytes}",
            fix="convert it with qemu-img convert on a machine that you can lose",
        )


def _ask(reader: FileReader, facts: ImageFacts, limits: Limits) -> Mapping[str, Any]:
    # By descriptor: it is the file that was parsed, whatever its name leads to by now. A VMDK whose data lies beside
    # it (trusted, or it would not be here) goes by name, because qemu looks for the data beside that name.
    path = str(reader.path) if facts.format == "vmdk" and facts.notes else f"/proc/self/fd/{reader.fileno()}"
    protocol = "host_device" if reader.path.is_block_device() else "file"
    place = f"file.driver={protocol},file.locking=off,file.filename={path.replace(',', ',,')}"
    command = [
        *("prlimit", f"--as={limits.qemu_address_space_bytes}", f"--cpu={limits.qemu_cpu_s}", "--core=0", "--"),
        *("qemu-img", "info", "--output=json", "--image-opts", f"driver={facts.format},{place}"),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=limits.qemu_timeout_s, pass_fds=(reader.fileno(),), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedImage(f"{facts.name}: qemu-img did not come to an end with it") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RefusedImage(f"{facts.name}: qemu-img cannot read it: {said[0] if said else done.returncode}")
    info: Mapping[str, Any] = json.loads(done.stdout)
    return info
