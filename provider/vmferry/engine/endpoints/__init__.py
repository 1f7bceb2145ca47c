# SPDX-License-Identifier: Apache-2.0
"""The kinds of endpoint there are, and how to open one from its spec."""

from __future__ import annotations

from collections.abc import Mapping

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.errors import UnknownScheme

NO_SECRETS: Mapping[str, str] = {}


def open_source(spec: EndpointSpec, secrets: Mapping[str, str] = NO_SECRETS) -> Endpoint:
    """Open for reading."""
    if spec.kind == "file":
        from vmferry.engine.endpoints.file import open_file_source

        return open_file_source(spec.address)
    if spec.kind == "image" and spec.options.get("over"):
        from vmferry.engine.endpoints.image_over import open_image_over

        return open_image_over(spec, secrets)
    if spec.kind == "image":
        from vmferry.engine.endpoints.image import open_image_source

        return open_image_source(spec)
    if spec.kind == "nbd":
        from vmferry.engine.endpoints.nbd import open_nbd

        return open_nbd(spec, writable=False)
    if spec.kind == "http":
        from vmferry.engine.endpoints.http import open_http_source

        return open_http_source(spec, secrets)
    if spec.kind == "imageio":
        from vmferry.engine.endpoints.imageio import open_imageio

        return open_imageio(spec, secrets, writable=False)
    if spec.kind == "stream":
        from vmferry.engine.endpoints.stream import open_stream_source

        return open_stream_source(spec, secrets)
    raise UnknownScheme(f"{spec.kind!r} is no kind of source", fix="use file, image, nbd, http, imageio or stream")


def open_target(spec: EndpointSpec, size_bytes: int, secrets: Mapping[str, str] = NO_SECRETS) -> Endpoint:
    """Open for writing an image of `size_bytes`; creates a file or an image that is not there yet.

    Raises `TargetTooSmall` or `TargetInUse` before anything is changed. May be called again for the same spec:
    a resumed copy finds the file that the first try made.
    """
    if spec.kind == "file":
        from vmferry.engine.endpoints.file import open_file_target

        return open_file_target(spec.address, size_bytes)
    if spec.kind == "image":
        from vmferry.engine.endpoints.image import open_image_target

        return open_image_target(spec, size_bytes)
    if spec.kind == "nbd":
        from vmferry.engine.endpoints.nbd import open_nbd_target

        return open_nbd_target(spec, size_bytes)
    if spec.kind == "imageio":
        from vmferry.engine.endpoints.imageio import open_imageio_target

        return open_imageio_target(spec, size_bytes, secrets)
    if spec.kind == "null":
        from vmferry.engine.endpoints.null import NullTarget

        return NullTarget(size_bytes)
    raise UnknownScheme(f"{spec.kind!r} is no kind of target", fix="use file, image, nbd or imageio")
