"""Places where a disk is restored to, and what it reads like there afterwards."""

from __future__ import annotations

import contextlib
import io
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.imageio import ImageioDaemon
from lab.nbd import serve
from tests.integration.roundtrip.ways import transfer

from vmferry.engine.endpoint import EndpointSpec
from vmferry.vault import Vault, restore, restore_stream

PLACES = ("raw", "raw-in-use-before", "qcow2", "qcow2-compressed", "nbd", "imageio", "stdout")
_SECTOR = 512


def restore_to(
    place: str, vault: Vault, vm: str, backup: str, size_bytes: int, room: Path, daemon: ImageioDaemon
) -> tuple[bytes, str]:
    """Restore one backup's disk; gives all the bytes of the place, and the root that was reported."""
    if place == "stdout":
        out = io.BytesIO()
        root = restore_stream(vault, vm, "root", out, backup=backup)
        return out.getvalue(), root
    path = room / "restored"
    with _target(place, path, size_bytes, daemon) as spec:
        (done,) = restore(vault, vm, {"root": spec}, backup=backup)
    content = _read(spec, path)
    path.unlink()
    return content, done.result.root


@contextlib.contextmanager
def _target(place: str, path: Path, size_bytes: int, daemon: ImageioDaemon) -> Iterator[EndpointSpec]:
    if place == "raw":
        yield EndpointSpec("file", str(path))
    elif place == "raw-in-use-before":
        _fill(path, size_bytes + 100_000)
        yield EndpointSpec("file", str(path))
    elif place in ("qcow2", "qcow2-compressed"):
        yield EndpointSpec("image", str(path), "qcow2", {"create": {"compress": place == "qcow2-compressed"}})
    else:
        sectors = -(-size_bytes // _SECTOR)
        _fill(path, sectors * _SECTOR)
        door = path.parent / "dst.sock"
        with serve(path, socket_path=door) as server:
            if place == "nbd":
                yield server.spec()
                return
            with transfer(daemon, door, sectors * _SECTOR, ops=("read", "write")) as spec:
                yield spec


def _fill(path: Path, size_bytes: int) -> None:
    """Leave the bytes of some earlier use, which must not show through."""
    path.write_bytes(random.Random(size_bytes).randbytes(size_bytes))


def _read(spec: EndpointSpec, path: Path) -> bytes:
    if spec.kind != "image":
        return path.read_bytes()
    raw = path.with_suffix(".readback")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw], check=True)
    content = raw.read_bytes()
    raw.unlink()
    return content
