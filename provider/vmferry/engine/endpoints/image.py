# SPDX-License-Identifier: Apache-2.0
"""An image of any format QEMU knows, through a private qemu-nbd; the format is forced, never probed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints.file import describe_file
from vmferry.engine.endpoints.image_target import ImageTarget, prepare_target
from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.endpoints.nbd.endpoint import NbdEndpoint
from vmferry.engine.endpoints.nbd.link import Reach
from vmferry.engine.errors import BadInput, SourceLost, TargetInUse, TargetLost, Unreadable
from vmferry.engine.extents import Extent, clipped
from vmferry.engine.images.inspect import inspect
from vmferry.engine.qemu.images import file_node
from vmferry.engine.qemu.server import PrivateServer

_BACKING = ("refuse", "trust")


class ImageEndpoint:
    """An image and the server that speaks for it."""

    def __init__(self, spec: EndpointSpec, server: PrivateServer, target: ImageTarget | None = None) -> None:
        self.name = spec.address
        self._server = server
        self._target = target
        label = f"{spec.format}:{spec.address}"
        address = NbdAddress(label, "", socket_path=server.socket_path)
        reach = Reach(address, writable=target is not None, timeout_s=600, reconnect_s=0, why=server.last_words)
        self._file = _WatchedFile(spec, writable=target is not None)
        try:
            self._nbd = NbdEndpoint(reach, identity=self.identity, overwrites=not (target and target.compress))
        except BaseException:
            self._file.close()
            raise
        self.size = target.size_bytes if target and target.compress else self._nbd.size
        self.max_connections = self._nbd.max_connections
        self.reads_zero = self._nbd.reads_zero or bool(target and target.fresh)

    @property
    def identity(self) -> str:
        """Read anew each time: an image that somebody changed or removed under us is another one."""
        return self._file.identity()

    @property
    def server_pid(self) -> int:
        """The process that speaks for the image."""
        return self._server.pid

    def extents(self, since: str | None = None) -> Iterator[Extent]:
        """Stream data and zero ranges; `since` is the persistent bitmap named in the spec's option `bitmap`."""
        return clipped(self._nbd.extents(since), self.size)

    def allocated_extents(self, depth: int = 1) -> Iterator[Extent]:
        """Stream what is in the layer `depth` of the chain (1: this image itself), split into data and zero."""
        return clipped(self._nbd.allocated_extents(depth), self.size)

    def connect(self) -> Connection:
        """Open one more connection."""
        return self._nbd.connect()

    def close(self) -> None:
        """Stop the server, which writes out what it has."""
        self._nbd.close()
        self._server.stop()
        self._file.close()
        target, self._target = self._target, None
        if target:
            target.finish()


def open_image_source(spec: EndpointSpec) -> ImageEndpoint:
    """Open an image for reading.

    Options: backing="refuse" (default: an image that needs other files is a `RefusedImage`) or "trust" (opens the
    chain); bitmap=NAME (export this persistent bitmap for `extents(since=NAME)`).
    """
    node: dict[str, Any] = {"driver": spec.format, "file": file_node(spec.address)}
    if _refuses_backing(spec):
        inspect(spec.address, claimed_format=spec.format, second_opinion=False)
        if spec.format == "qcow2":
            node["backing"] = None
    options = ["--read-only", "--allocation-depth"]
    if spec.options.get("bitmap"):
        options.append(f"--bitmap={spec.options['bitmap']}")
    try:
        return _serve(spec, node, options, lambda server: ImageEndpoint(spec, server))
    except TargetInUse as error:
        raise Unreadable(error.what, fix="its bytes would change while we read: shut down the VM") from error


def open_image_target(spec: EndpointSpec, size_bytes: int) -> ImageEndpoint:
    """Open an image for writing `size_bytes`; made first when it is not there and the options say how.

    Options: create={...} makes a missing image. Its keys: compress=True (zstd, qcow2 only), backing_file (relative to
    the image) and backing_format, and any other goes to `qemu-img create -o`.
    """
    refuses_backing = _refuses_backing(spec)
    target = prepare_target(spec, size_bytes, refuses_backing=refuses_backing)
    node: dict[str, Any] = {"driver": spec.format, "file": file_node(spec.address)}
    if target.compress:
        node = {"driver": "compress", "file": node}
    options = ["--cache=writeback", "--discard=unmap", "--allocation-depth"]
    return _serve(spec, node, options, lambda server: ImageEndpoint(spec, server, target))


def _serve(
    spec: EndpointSpec, node: dict[str, Any], options: list[str], build: Callable[[PrivateServer], ImageEndpoint]
) -> ImageEndpoint:
    server = PrivateServer(node, spec.address, options)
    try:
        return build(server)
    except (SourceLost, TargetLost) as error:
        failure = server.failure()
        server.stop()
        raise (failure or error) from error
    except BaseException:
        server.stop()
        raise


def _refuses_backing(spec: EndpointSpec) -> bool:
    backing = spec.options.get("backing", "refuse")
    if backing not in _BACKING:
        raise BadInput(f"backing={backing!r} means nothing", fix=f"use one of {', '.join(_BACKING)}")
    return bool(backing == "refuse")


class _WatchedFile:
    """The image's file, held by a descriptor that only looks: renaming it is no matter, changing or removing it is."""

    def __init__(self, spec: EndpointSpec, *, writable: bool) -> None:
        self._place = f"{spec.format}:{os.path.realpath(spec.address)}"
        self._writable = writable
        try:
            self._fd = os.open(spec.address, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable(f"cannot open {spec.address}: {error.strerror}", fix="check the path") from error
        self._last = self._describe()

    def identity(self) -> str:
        if self._fd >= 0:
            self._last = self._describe()
        return self._last

    def _describe(self) -> str:
        return describe_file(self._place, os.fstat(self._fd), writable=self._writable)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
