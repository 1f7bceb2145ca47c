# SPDX-License-Identifier: Apache-2.0
"""The kinds of endpoint that the contract is held against. A new kind is one class and one line in `KINDS`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lab.http import HttpServer
from lab.imageio import ImageioDaemon
from lab.nbd import NbdServer, serve
from lab.pki import Certificate, create_certificate

from vmferry.engine.endpoint import EndpointSpec


class Place(Protocol):
    """Somewhere bytes can be. Everything it starts is pushed on the stack that it was made with."""

    def stock(self, raw: Path) -> EndpointSpec:
        """Put the bytes of a raw image there, holes as holes; return how to open it."""

    def clear(self, size_bytes: int) -> EndpointSpec:
        """Make room for a disk of this size, as before a first copy; return how to open it as a target."""


@dataclass(frozen=True)
class Kind:
    """One row of the suite."""

    id: str
    """Shown by pytest."""
    make: Callable[[Path, ExitStack], Place]
    """Makes a place in a folder."""
    writable: bool = True
    """False: only the reading half of the contract is checked, and `clear` is never called."""
    knows_holes: bool = True
    """False: everything is data."""


class FilePlace:
    """A regular file."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._path = folder / "disk.raw"

    def stock(self, raw: Path) -> EndpointSpec:
        copy_sparse(raw, self._path)
        return EndpointSpec("file", str(self._path))

    def clear(self, size_bytes: int) -> EndpointSpec:
        self._path.unlink(missing_ok=True)
        return EndpointSpec("file", str(self._path))


class DevicePlace:
    """A loop device."""

    def __init__(self, folder: Path, stack: ExitStack, sector_bytes: int) -> None:
        self._path, self._stack, self._sector_bytes = folder / "behind-loop", stack, sector_bytes
        self._device = ""

    def stock(self, raw: Path) -> EndpointSpec:
        copy_sparse(raw, self._path)
        return self._attach()

    def clear(self, size_bytes: int) -> EndpointSpec:
        make_hole(self._path, size_bytes)
        return self._attach()

    def _attach(self) -> EndpointSpec:
        return EndpointSpec("file", self._stack.enter_context(loop_device(self._path, self._sector_bytes)))


class NbdPlace:
    """A raw file behind qemu-nbd."""

    def __init__(self, folder: Path, stack: ExitStack, settings: Mapping[str, Any]) -> None:
        self._path, self._stack = folder / "served.raw", stack
        self._settings = dict(settings)
        if self._settings.pop("unix", False):
            self._settings["socket_path"] = folder / "nbd.sock"
        if self._settings.pop("tls", False):
            self._settings["tls"] = _shared_certificate(folder.parent)

    def stock(self, raw: Path) -> EndpointSpec:
        copy_sparse(raw, self._path)
        return self._serve().spec()

    def clear(self, size_bytes: int) -> EndpointSpec:
        make_hole(self._path, size_bytes)
        return self._serve().spec()

    def _serve(self) -> NbdServer:
        return self._stack.enter_context(serve(self._path, **self._settings))


class ImagePlace:
    """An image behind a private qemu-nbd."""

    def __init__(self, folder: Path, stack: ExitStack, image_format: str, create: Mapping[str, Any]) -> None:
        self._path = folder / f"disk.{image_format}"
        self._spec = EndpointSpec("image", str(self._path), image_format, {"create": dict(create)})

    def stock(self, raw: Path) -> EndpointSpec:
        compressed = {"-c": None} if self._spec.options["create"].get("compress") else {}
        size_kept = ["-o", "force_size=on"] if self._spec.format == "vpc" else []
        run("qemu-img", "convert", "-f", "raw", "-O", self._spec.format, *compressed, *size_kept, raw, self._path)
        return self._spec

    def clear(self, size_bytes: int) -> EndpointSpec:
        self._path.unlink(missing_ok=True)
        return self._spec


class ObjectPlace:
    """An object on an HTTPS server: the raw disk, or an image of a format."""

    def __init__(self, folder: Path, stack: ExitStack, image_format: str = "raw") -> None:
        self._path, self._format = folder / "object", image_format
        self._certificate = _shared_certificate(folder.parent)
        self._server = stack.enter_context(HttpServer(self._certificate))

    def stock(self, raw: Path) -> EndpointSpec:
        run("qemu-img", "convert", "-f", "raw", "-O", self._format, raw, self._path)
        options = {"tls_ca": str(self._certificate.ca)}
        lower = EndpointSpec("http", self._server.put("/object", self._path), options=options)
        if self._format == "raw":
            return lower
        return EndpointSpec("image", lower.address, self._format, {"over": lower.to_json()})

    def clear(self, size_bytes: int) -> EndpointSpec:
        raise NotImplementedError("objects are read only")


class StreamPlace:
    """A compressed raw image."""

    def __init__(self, folder: Path, stack: ExitStack, compression: str, program: str) -> None:
        self._path, self._compression, self._program = folder / "stream", compression, program

    def stock(self, raw: Path) -> EndpointSpec:
        with raw.open("rb") as source, self._path.open("wb") as packed:
            subprocess.run([self._program, "-1", "-c"], stdin=source, stdout=packed, check=True)
        return EndpointSpec("stream", str(self._path), options={"compression": self._compression})

    def clear(self, size_bytes: int) -> EndpointSpec:
        raise NotImplementedError("compressed images are read only")


class TransferPlace:
    """A file behind qemu-nbd behind the real imageio daemon."""

    def __init__(self, folder: Path, stack: ExitStack, *, local: bool) -> None:
        self._path, self._socket, self._stack = folder / "transfer.raw", folder / "transfer.sock", stack
        certificate = _shared_certificate(folder.parent)
        self._daemon = stack.enter_context(ImageioDaemon(folder / "imageio", certificate, local=local))

    def stock(self, raw: Path) -> EndpointSpec:
        copy_sparse(raw, self._path)
        return self._open_transfer()

    def clear(self, size_bytes: int) -> EndpointSpec:
        make_hole(self._path, size_bytes)
        return self._open_transfer()

    def _open_transfer(self) -> EndpointSpec:
        self._stack.enter_context(serve(self._path, socket_path=self._socket))
        ticket = self._daemon.add_ticket(f"nbd:unix:{self._socket}", self._path.stat().st_size)
        return EndpointSpec("imageio", self._daemon.url(ticket), options={"tls_ca": str(self._daemon.certificate.ca)})


def _shared_certificate(folder: Path) -> Certificate:
    """Make one certificate for all tests of a worker: making keys takes longer than using them."""
    pki = folder / "pki"
    made = Certificate(pki / "ca.pem", pki / "cert.pem", pki / "key.pem")
    return made if made.cert.exists() else create_certificate(pki)


def image(image_format: str, **create: Any) -> Callable[[Path, ExitStack], Place]:
    return partial(ImagePlace, image_format=image_format, create=create)


def nbd(**settings: Any) -> Callable[[Path, ExitStack], Place]:
    return partial(NbdPlace, settings=settings)


KINDS = (
    Kind("file", FilePlace),
    Kind("device-512", partial(DevicePlace, sector_bytes=512), knows_holes=False),
    Kind("device-4096", partial(DevicePlace, sector_bytes=4096), knows_holes=False),
    Kind("nbd-unix", nbd(unix=True)),
    Kind("nbd-tcp-one-client", nbd(shared=1)),
    Kind("nbd-tls", nbd(tls=True)),
    Kind("image-qcow2", image("qcow2")),
    Kind("image-qcow2-compressed", image("qcow2", compress=True)),
    Kind("image-raw", image("raw")),
    Kind("image-vmdk", image("vmdk")),
    Kind("image-vpc", image("vpc")),
    Kind("http", ObjectPlace, writable=False, knows_holes=False),
    Kind("http-qcow2", partial(ObjectPlace, image_format="qcow2"), writable=False),
    Kind("stream-gz", partial(StreamPlace, compression="gz", program="gzip"), writable=False, knows_holes=False),
    Kind("stream-xz", partial(StreamPlace, compression="xz", program="xz"), writable=False, knows_holes=False),
    Kind("stream-zst", partial(StreamPlace, compression="zst", program="zstd"), writable=False, knows_holes=False),
    Kind("imageio-tls", partial(TransferPlace, local=False)),
    Kind("imageio-local", partial(TransferPlace, local=True)),
)


@contextmanager
def loop_device(backing: Path, sector_bytes: int = 512) -> Iterator[str]:
    """Attach a file as a block device."""
    device = run("losetup", "--find", "--show", f"--sector-size={sector_bytes}", backing)
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def copy_sparse(source: Path, target: Path) -> None:
    run("cp", "--sparse=always", source, target)


def make_hole(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(size_bytes)


def run(*command: object) -> str:
    """Run a program that has to succeed."""
    words = [str(word) for word in command]
    assert shutil.which(words[0]), f"{words[0]} is not installed"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()
