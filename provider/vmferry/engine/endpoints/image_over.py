# SPDX-License-Identifier: Apache-2.0
"""An image whose bytes come out of another endpoint, e.g. a qcow2 or VMDK in an object storage: no temporary file.

What reads it is a private qemu-nbd with the format forced; what it reads from is a bridge in this process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from vmferry.engine.endpoint import Connection, Endpoint, EndpointSpec
from vmferry.engine.endpoints.bridge import Bridge
from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.endpoints.nbd.endpoint import NbdEndpoint
from vmferry.engine.endpoints.nbd.link import Reach
from vmferry.engine.errors import BadInput, EngineError, NotADiskImage, SourceError
from vmferry.engine.extents import Extent
from vmferry.engine.images.facts import ImageFacts
from vmferry.engine.images.inspect import inspect
from vmferry.engine.images.reader import EndpointReader
from vmferry.engine.qemu.server import PrivateServer
from vmferry.engine.units import MiB

_LARGEST_CLUSTER_BYTES = 2 * MiB
_SERVER_TIMEOUT_S = 600.0  # longer than the lower endpoint waits for its server to come back


class ImageOver:
    """The disk in an image in an endpoint."""

    reads_zero = False

    def __init__(self, lower: Endpoint, facts: ImageFacts) -> None:
        self.name = lower.name
        self.identity = f"{facts.format}:{lower.identity}"
        self._lower = lower
        self._bridge = Bridge(lower, slack_bytes=_find_slack(facts, lower.size))
        self._server: Optional[PrivateServer] = None
        self._nbd: Optional[NbdEndpoint] = None
        try:
            self._server = PrivateServer(_build_node(facts.format, self._bridge), self.name, ["--read-only"])
            self._nbd = self._open(self._server)
        except BaseException:
            self.close()
            raise
        self.size = self._nbd.size
        # qemu decompresses a streamOptimized VMDK one grain at a time and keeps few of its tables: more clients only
        # make it read these again (1 GiB: 279 small reads for two, 7 200 for four, and slower).
        self.max_connections = 2 if facts.subformat == "streamOptimized" else self._nbd.max_connections

    def _open(self, server: PrivateServer) -> NbdEndpoint:
        address = NbdAddress(self.name, "", socket_path=server.socket_path)
        reach = Reach(address, writable=False, timeout_s=_SERVER_TIMEOUT_S, reconnect_s=0, why=server.last_words)
        try:
            return NbdEndpoint(reach, identity=self.identity)
        except SourceError as error:
            raise self._bridge.failure or self._explain(server) or error from error

    @staticmethod
    def _explain(server: PrivateServer) -> Optional[EngineError]:
        failure = server.failure()
        if type(failure) is EngineError:  # qemu did not like the image: that will be so next time
            return NotADiskImage(failure.what, fix="upload or export it again")
        return failure

    @property
    def server_pid(self) -> int:
        """Process id of the private qemu-nbd."""
        return self._server.pid if self._server else 0

    @contextlib.contextmanager
    def real_errors(self) -> Iterator[None]:
        """Raise what really happened below instead of the "I/O error" that came through qemu."""
        try:
            yield
        except SourceError as error:
            raise self._bridge.failure or error from error

    def extents(self, since: Optional[str] = None) -> Iterable[Extent]:
        """Stream data and zero ranges; bitmaps inside of such an image are not exported."""
        if since is not None:
            raise BadInput(f"{self.name}: what changed since {since} is not known", fix="copy the whole disk")
        return self._stream_extents()

    def _stream_extents(self) -> Iterator[Extent]:
        with self.real_errors():
            yield from _opened(self._nbd).extents()

    def connect(self) -> Connection:
        """Open one more connection."""
        with self.real_errors():
            return _OverConnection(self, _opened(self._nbd).connect())

    def close(self) -> None:
        """Stop qemu-nbd first, then what it reads from. May be called twice."""
        if self._nbd is not None:
            self._nbd.close()
        if self._server is not None:
            self._server.stop()
        self._lower.close()
        self._bridge.close()


class _OverConnection:
    """A connection to the private server."""

    def __init__(self, endpoint: ImageOver, inner: Connection) -> None:
        self._endpoint = endpoint
        self._inner = inner

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`."""
        with self._endpoint.real_errors():
            self._inner.read_into(offset, buffer)

    def write(self, offset: int, data: memoryview) -> None:
        """Refuse: only for reading."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def zero(self, offset: int, length: int) -> None:
        """Refuse: only for reading."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def flush(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Give the connection back."""
        self._inner.close()


def open_image_over(spec: EndpointSpec, secrets: Mapping[str, str]) -> Endpoint:
    """Open the image whose bytes the endpoint of `options["over"]` (a spec as JSON) has; refuses hostile ones."""
    from vmferry.engine.endpoints import open_source

    lower = open_source(EndpointSpec.from_json(spec.options["over"]), secrets)
    try:
        with contextlib.closing(EndpointReader(lower)) as reader:
            facts = inspect(reader, claimed_format=spec.format, name=lower.name)
        return lower if facts.format == "raw" else ImageOver(lower, facts)
    except BaseException:
        lower.close()
        raise


def _find_slack(facts: ImageFacts, size_bytes: int) -> Optional[int]:
    """Say how far behind the end of its file an image may point: to the end of its last cluster.

    None for the formats that look for something at the end of the file; qemu checks those for their length itself.
    """
    if facts.format not in ("qcow2", "vdi") and facts.subformat != "monolithicSparse":
        return None
    return -size_bytes % (facts.cluster_size_bytes or _LARGEST_CLUSTER_BYTES)


def _build_node(image_format: str, bridge: Bridge) -> dict[str, Any]:
    node: dict[str, Any] = {"driver": image_format, "file": bridge.qemu_node}
    if image_format == "qcow2":
        node["backing"] = None
    return node


def _opened(nbd: Optional[NbdEndpoint]) -> NbdEndpoint:
    if nbd is None:
        raise RuntimeError("used before it was opened")
    return nbd
