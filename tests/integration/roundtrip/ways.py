"""Ways to reach an image's bytes: the file itself, a real qemu-nbd, or a real imageio daemon before a qemu-nbd."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lab.imageio import ImageioDaemon
from lab.nbd import serve

from vmferry.engine.endpoint import EndpointSpec

WAYS = ("file", "nbd", "imageio")


@contextlib.contextmanager
def reach(
    way: str, image: Path, image_format: str, size_bytes: int, daemon: ImageioDaemon, *, bitmap: str = ""
) -> Iterator[EndpointSpec]:
    """Give the source that reads an image; `bitmap` is one that is stored in it."""
    if way == "file":
        yield file_source(image, image_format, bitmap)
        return
    options = [f"--bitmap={bitmap}"] if bitmap else []
    # Below 108 bytes, whatever the image is called.
    door = image.parent / "src.sock"
    with serve(image, image_format, socket_path=door, read_only=True, options=options) as server:
        if way == "nbd":
            yield server.spec()
            return
        with transfer(daemon, door, size_bytes, ops=("read",), dirty=bool(bitmap)) as spec:
            yield spec


def file_source(image: Path, image_format: str, bitmap: str) -> EndpointSpec:
    if image_format == "raw":
        return EndpointSpec("file", str(image))
    return EndpointSpec("image", str(image), image_format, {"bitmap": bitmap} if bitmap else {})


@contextlib.contextmanager
def transfer(
    daemon: ImageioDaemon, door: Path, size_bytes: int, *, ops: tuple[str, ...], dirty: bool = False, export: str = ""
) -> Iterator[EndpointSpec]:
    """Open a transfer of what is served at a unix socket, as an oVirt engine does."""
    address = f"nbd:unix:{door}" + (f":exportname={export}" if export else "")
    ticket = daemon.add_ticket(address, size_bytes, ops=list(ops), **({"dirty": True} if dirty else {}))
    try:
        yield EndpointSpec("imageio", daemon.url(ticket), options={"tls_ca": str(daemon.certificate.ca)})
    finally:
        daemon.remove_ticket(ticket)
