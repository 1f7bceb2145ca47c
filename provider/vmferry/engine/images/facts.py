# SPDX-License-Identifier: Apache-2.0
"""What there is to say about an image, and how much of an image we put up with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vmferry.engine.errors import RefusedImage
from vmferry.engine.units import TiB, format_bytes


@dataclass(frozen=True)
class Limits:
    """What nobody can mean."""

    max_virtual_bytes: int = 64 * TiB
    """Largest disk that is accepted."""
    qemu_address_space_bytes: int = 4 << 30
    """Memory that qemu-img may map while it looks at the image."""
    qemu_cpu_s: int = 20
    """Processor time that qemu-img may take."""
    qemu_timeout_s: float = 60.0
    """Time after which qemu-img is stopped."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class ImageFacts:
    """What an accepted image is."""

    name: str
    """What the image is called in messages."""
    format: str
    """qcow2, vmdk, vpc, vhdx, vdi or raw: force this one, never let a tool guess."""
    virtual_size_bytes: int | None
    """Bytes a guest sees; None when only reading all of a compressed image would tell."""
    file_size_bytes: int
    """Bytes in the file."""
    compression: str | None = None
    """gz, xz or zst around a raw image."""
    subformat: str | None = None
    """e.g. streamOptimized, dynamic, fixed, v3."""
    cluster_size_bytes: int | None = None
    """Allocation unit: cluster, grain or block."""
    has_bitmaps: bool = False
    """True when a qcow2 holds persistent dirty bitmaps."""
    snapshots: int = 0
    """Internal snapshots of a qcow2; they are not copied."""
    notes: tuple[str, ...] = ()
    """What is odd but harmless."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {**asdict(self), "notes": list(self.notes)}


def check_virtual_size(name: str, size_bytes: int, limits: Limits) -> None:
    """Refuse a disk of more than the limit; raises `RefusedImage`."""
    if size_bytes > limits.max_virtual_bytes:
        what = (
            f"{name}: says its disk is {format_bytes(size_bytes)}, more than {format_bytes(limits.max_virtual_bytes)}"
        )
        raise RefusedImage(what, fix="raise the limit if this is really meant")


def check_inside(reader_name: str, what: str, offset: int, length: int, file_size_bytes: int) -> None:
    """Refuse a header that points behind the end of the file; raises `RefusedImage`."""
    if offset + length > file_size_bytes:
        message = f"{reader_name}: its {what} ({length} bytes at {offset}) lies behind the end of the file"
        raise RefusedImage(message, fix="the file is damaged or was not copied to its end")
