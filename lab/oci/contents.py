"""What objects hold: files on disk, with the digests and validators that the object storage gives them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from lab.oci.model import new_etag, timestamp
from lab.oci.router import Refusal, Request, invalid
from lab.oci.site import Site

CHUNK_BYTES = 1 << 20
MAX_NAME, MAX_METADATA = 1024, 4000
_META = "opc-meta-"
_OTHER_BYTES = bytes(reversed(range(256)))
KEPT_HEADERS = ("content-type", "content-language", "content-encoding", "content-disposition", "cache-control")


@dataclass(frozen=True)
class Content:
    """Bytes that arrived whole."""

    file: str
    size: int
    md5: str


def receive(site: Site, request: Request) -> Content:
    """Read a body into a new file, and check it against the digests that the caller sent."""
    assert request.stream
    if "content-length" not in request.headers:
        raise Refusal(411, "MissingContentLength", "The Content-Length header is missing")
    path = new_file(site)
    checks = _checks(request)
    try:
        with path.open("wb") as out:
            for chunk in _chunks(request.stream, request.length):
                out.write(chunk)
                for check in checks:
                    check.update(chunk)
        request.length = 0  # the connection can be used again
        md5 = _finish(checks)
    except BaseException:
        path.unlink()
        raise
    return Content(path.name, path.stat().st_size, md5)


def take_file(site: Site, source: Path) -> Content:
    """Take a copy of a file that lies on this machine."""
    path = new_file(site)
    shutil.copyfile(source, path)
    return Content(path.name, path.stat().st_size, _md5_of(path))


def new_file(site: Site) -> Path:
    """Name a new file."""
    directory = site.place.directory / "objects"
    directory.mkdir(exist_ok=True)
    return directory / uuid.uuid4().hex


def path_of(site: Site, found: dict[str, Any]) -> Path:
    """Say where the bytes of an object or part lie."""
    return site.place.directory / "objects" / str(found["file"])


def discard(site: Site, found: dict[str, Any] | None) -> None:
    """Remove bytes that nobody refers to any more; who reads them just now reads on."""
    if found:
        with contextlib.suppress(FileNotFoundError):
            path_of(site, found).unlink()


def store(site: Site, bucket: str, name: str, content: Content, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    """Make content the object of a name, and tell whom it may concern."""
    objects = site.inventory.objects[bucket]
    earlier, now = objects.get(name), timestamp()
    made = {
        "file": content.file, "size": content.size, "md5": content.md5, "etag": new_etag(), "timeModified": now,
        "timeCreated": earlier["timeCreated"] if earlier else now, "modified": time.time(), "headers": headers, **more,
    }  # fmt: skip
    objects[name] = made
    discard(site, earlier)
    site.events.announce("updateobject" if earlier else "createobject", bucket, name, made)
    return made


def change(site: Site, bucket: str, name: str) -> None:
    """Overwrite an object under its reader: as long as before, another version, every byte another."""
    with site.lock:
        found = site.inventory.objects[bucket][name]
        path = new_file(site)
        with path_of(site, found).open("rb") as old, path.open("wb") as new:
            while chunk := old.read(CHUNK_BYTES):
                new.write(chunk.translate(_OTHER_BYTES))
        store(site, bucket, name, Content(path.name, found["size"], _md5_of(path)), found["headers"])


def read_headers(request: Request) -> dict[str, str]:
    """Take what is kept with an object: its type and so on, and the caller's own metadata."""
    meta = {name: value for name, value in request.headers.items() if name.startswith(_META)}
    if sum(len(name) - len(_META) + len(value) for name, value in meta.items()) > MAX_METADATA:
        raise invalid(f"The metadata is larger than {MAX_METADATA} bytes")
    kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    return {"content-type": "application/octet-stream", **kept, **meta}


def check_name(name: str) -> None:
    """Refuse a name that no object may have."""
    if not name or len(name.encode()) > MAX_NAME or any(one in name for one in "\0\r\n"):
        raise Refusal(400, "InvalidObjectName", "The object name is empty, too long or has NUL, CR or LF in it")


class _Check:
    """One digest of a body, and what it should be."""

    def __init__(self, name: str, digest: Any, expected: str | None) -> None:
        self.name = name
        self._digest = digest
        self.expected = expected

    def update(self, chunk: bytes) -> None:
        """Take more."""
        self._digest.update(chunk)

    @property
    def found(self) -> str:
        """What it is."""
        return base64.b64encode(self._digest.digest()).decode()


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "md5").digest()).decode()


def _checks(request: Request) -> list[_Check]:
    checks = [_Check("MD5", hashlib.md5(), request.headers.get("content-md5"))]
    if expected := request.headers.get("opc-content-sha256"):
        checks.append(_Check("SHA256", hashlib.sha256(), expected))
    if expected := request.headers.get("opc-content-crc32c"):
        from crc32c import CRC32CHash

        checks.append(_Check("CRC32C", CRC32CHash(), expected))
    return checks


def _finish(checks: list[_Check]) -> str:
    for one in checks:
        if one.expected and one.expected != one.found:
            raise Refusal(
                400,
                f"UnmatchedContent{one.name}",
                f"The computed {one.name} of the request body ({one.found}) does not match the header ({one.expected})",
            )
    return checks[0].found


def _chunks(stream: BufferedIOBase, length: int) -> Iterator[bytes]:
    left = length
    while left:
        chunk = stream.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise ConnectionError("the caller left before the body's end")
        left -= len(chunk)
        yield chunk
