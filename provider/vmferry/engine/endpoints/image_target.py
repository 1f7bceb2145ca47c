# SPDX-License-Identifier: Apache-2.0
"""What an image needs before and after it is written: made, mended, made as long as its filter wants it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints.file import sync_folder, too_small
from vmferry.engine.errors import BadInput, Unreadable
from vmferry.engine.images.inspect import inspect
from vmferry.engine.qemu.images import check_image, create_image, read_info, resize_image
from vmferry.engine.units import KiB

_SECTOR_BYTES = 512
_CLUSTER_BYTES = 64 * KiB
_OUR_KEYS = ("format", "compress")
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "vpc": {"force_size": "on"},  # without it, sizes are rounded up to what a disk of 1985 could have
}


@dataclass
class ImageTarget:
    """An image that is there, has the right size, and may be served."""

    path: str
    """Where it is."""
    image_format: str
    """Its format."""
    size_bytes: int
    """What a guest will see; a multiple of 512."""
    compress: bool
    """Writes go through the compress filter."""
    fresh: bool
    """Just made, and nothing below it: reads as zeros, although not every format says so."""

    def finish(self) -> None:
        """Undo what the compress filter needed; may be called twice."""
        if self.compress and self.size_bytes % _CLUSTER_BYTES:
            resize_image(self.path, self.image_format, self.size_bytes)


def prepare_target(spec: EndpointSpec, size_bytes: int, *, refuses_backing: bool) -> ImageTarget:
    """Make the image if it is not there; else see that it can be used, and mend what a kill left."""
    wanted = _read_creation(spec)
    rounded = -(-size_bytes // _SECTOR_BYTES) * _SECTOR_BYTES
    compress = bool(wanted and wanted.get("compress"))
    fresh = not os.path.lexists(spec.address)
    if fresh:
        if wanted is None:
            raise Unreadable(f"{spec.address} is not there", fix="make the image first, or give the option create")
        create_image(spec.address, spec.format, rounded, _build_options(spec, wanted))
        sync_folder(spec.address)
    else:
        rounded = _check_existing(spec, rounded, made_by_us=wanted is not None, refuses_backing=refuses_backing)
    target = ImageTarget(spec.address, spec.format, rounded, compress, fresh and not (wanted or {}).get("backing_file"))
    _make_whole_clusters(target)
    return target


def _read_creation(spec: EndpointSpec) -> Mapping[str, Any] | None:
    wanted: Mapping[str, Any] | None = spec.options.get("create")
    if wanted is None:
        return None
    if wanted.get("format", spec.format) != spec.format:
        raise BadInput(
            f"{spec.address} cannot be {spec.format} and {wanted['format']}", fix="say the same format twice"
        )
    if wanted.get("compress") and spec.format != "qcow2":
        raise BadInput(f"{spec.address}: only qcow2 can be written compressed", fix="leave compress out")
    if wanted.get("subformat") == "streamOptimized":
        what = f"{spec.address}: QEMU writes every grain of a streamOptimized image once, a copy could not be resumed"
        raise BadInput(what, fix="write monolithicSparse, then qemu-img convert -O vmdk -o subformat=streamOptimized")
    if wanted.get("backing_file") and not wanted.get("backing_format"):
        raise BadInput(f"{spec.address}: a backing file needs its format", fix="give backing_format")
    return wanted


def _build_options(spec: EndpointSpec, wanted: Mapping[str, Any]) -> dict[str, str]:
    options = dict(_DEFAULTS.get(spec.format, {}))
    if wanted.get("compress"):
        options["compression_type"] = "zstd"
    for key, value in wanted.items():
        if key not in _OUR_KEYS and value is not None:
            options[{"backing_format": "backing_fmt"}.get(key, key)] = str(value)
    return options


def _check_existing(spec: EndpointSpec, needed: int, *, made_by_us: bool, refuses_backing: bool) -> int:
    """Return the size of the image that is there."""
    if refuses_backing and not (spec.options.get("create") or {}).get("backing_file"):
        inspect(spec.address, claimed_format=spec.format, second_opinion=False, allow_extents_beside=made_by_us)
    size = read_info(spec.address, spec.format).virtual_size_bytes
    if size < needed:
        raise too_small(spec.address, size, needed, "make it larger with qemu-img resize")
    if made_by_us and spec.format == "qcow2":
        # A qemu-nbd that was killed leaves clusters that nothing points to; a vault should not carry them for ever.
        check_image(spec.address, spec.format, repair="leaks")
    if made_by_us and size - needed < _CLUSTER_BYTES:
        return needed  # as long as the compress filter wanted it, or as it should be
    return size


def _make_whole_clusters(target: ImageTarget) -> None:
    """Make the image a multiple of a cluster while it is written: the compress filter refuses any other (qemu 7.2)."""
    whole = -(-target.size_bytes // _CLUSTER_BYTES) * _CLUSTER_BYTES
    if target.compress and whole != target.size_bytes:
        resize_image(target.path, target.image_format, whole)
