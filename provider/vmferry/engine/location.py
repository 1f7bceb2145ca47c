# SPDX-License-Identifier: Apache-2.0
"""How people say where bytes are, turned into the spec of an endpoint.

::

    PATH                       a raw file, an image, or a block device; an image's name and content must agree
    qcow2:PATH  raw:PATH …     the same with the format said, which then is forced
    nbd://host:port/name       an NBD export; nbds:// with TLS; nbd+unix:///name?socket=PATH
    https://…                  an object, read only
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import NO_SECRETS
from vmferry.engine.errors import BadInput, UnknownScheme, Unreadable

IMAGE_FORMATS = ("qcow2", "vmdk", "vpc", "vhdx", "vdi")
_ALIASES = {"vhd": "vpc", "img": "raw", "dd": "raw"}
_TARGET_SUFFIXES = {".qcow2": "qcow2", ".vmdk": "vmdk", ".vhd": "vpc", ".vpc": "vpc", ".vhdx": "vhdx", ".vdi": "vdi"}
_NO_TARGETS = (".gz", ".xz", ".zst", ".qcow", ".qed", ".iso", ".ova", ".ovf")
_NBD = ("nbd", "nbds", "nbd+unix", "nbds+unix")
_HTTP = ("http", "https")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def parse_source(
    text: str,
    *,
    format_name: str | None = None,
    options: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] = NO_SECRETS,
) -> EndpointSpec:
    """Say what to read; looks at the first bytes and refuses an image that is not safe or not what it says."""
    said, rest = _split(text, format_name)
    scheme = _scheme(rest)
    extra = dict(options or {})
    if scheme in _NBD:
        return EndpointSpec("nbd", rest, options=extra)
    if scheme in _HTTP:
        return _object(rest, said, extra, secrets)
    if _is_block_device(rest):
        return EndpointSpec("file", rest)
    return _source_file(rest, said, extra)


def parse_target(
    text: str, *, format_name: str | None = None, options: Mapping[str, Any] | None = None
) -> EndpointSpec:
    """Say where to write; a file that is not there yet gets the format its name promises, raw if none."""
    said, rest = _split(text, format_name)
    scheme = _scheme(rest)
    extra = dict(options or {})
    if scheme in _NBD:
        return EndpointSpec("nbd", rest, options={k: v for k, v in extra.items() if k.startswith("tls_")})
    if scheme in _HTTP:
        raise BadInput(f"{rest}: HTTP is read only", fix="write to a path, a block device or an NBD export")
    path = Path(rest)
    if not path.parent.is_dir():
        raise Unreadable(f"{rest}: there is no directory {path.parent}", fix="make it first")
    if _is_block_device(rest):
        if said not in (None, "raw"):
            raise BadInput(f"{rest} is a block device, which is always raw", fix=f"leave out {said}")
        return EndpointSpec("file", rest)
    wanted = said or _found_format(path) or _promised_target(path)
    if wanted == "raw":
        if extra.get("compress"):
            raise BadInput(f"{rest}: a raw image cannot be compressed", fix="leave out --compress, or name a .qcow2")
        return EndpointSpec("file", rest)
    create = {"format": wanted, "compress": bool(extra.get("compress"))}
    return EndpointSpec("image", rest, wanted, {"create": create})


def _split(text: str, format_name: str | None) -> tuple[str | None, str]:
    """Take the format off: ``qcow2:PATH`` or the option."""
    prefix, colon, rest = text.partition(":")
    name = _ALIASES.get(prefix.lower(), prefix.lower())
    if colon and not rest.startswith("//") and (name == "raw" or name in IMAGE_FORMATS):
        return name, rest
    if format_name is None:
        return None, text
    said = _ALIASES.get(format_name.lower(), format_name.lower())
    if said not in ("raw", *IMAGE_FORMATS):
        raise BadInput(f"format {format_name!r} is not known", fix=f"use raw, {', '.join(IMAGE_FORMATS)}")
    return said, text


def _scheme(text: str) -> str:
    """Find the scheme of a URL; empty for a path. Raises `UnknownScheme`."""
    if not _URL.match(text) or Path(text).exists():
        return ""
    scheme = urlsplit(text).scheme.lower()
    if scheme not in (*_NBD, *_HTTP):
        raise UnknownScheme(
            f"{text.split('://')[0]}:// is no kind of location", fix="use a path, nbd://, nbd+unix:// or https://"
        )
    return scheme


def _is_block_device(path: str) -> bool:
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except OSError:
        return False


def _object(url: str, said: str | None, options: Mapping[str, Any], secrets: Mapping[str, str]) -> EndpointSpec:
    """Look at an object as at a file: its name, what was said and its content must agree."""
    from vmferry.engine.endpoints import open_source
    from vmferry.engine.images.inspect import inspect
    from vmferry.engine.images.reader import EndpointReader

    lower = EndpointSpec("http", url, options=options)
    if said == "raw":
        return lower
    with closing(open_source(lower, secrets)) as source, closing(EndpointReader(source)) as reader:
        facts = inspect(reader, claimed_format=said, name=url)
    if facts.compression:
        return EndpointSpec("stream", url, options={"compression": facts.compression, "over": lower.to_json()})
    if facts.format == "raw":
        return lower
    return EndpointSpec("image", url, facts.format, {"over": lower.to_json()})


def _source_file(path: str, said: str | None, options: Mapping[str, Any]) -> EndpointSpec:
    from vmferry.engine.images.inspect import inspect, recognise

    _check_readable(path)
    if said == "raw":
        return EndpointSpec("file", path)
    if options.get("backing") == "trust":
        found = recognise(path, claimed_format=said)
        if found in IMAGE_FORMATS:
            return EndpointSpec("image", path, found, options)
    facts = inspect(path, claimed_format=said, second_opinion=False)
    if facts.compression:
        return EndpointSpec("stream", path, options={"compression": facts.compression})
    if facts.format == "raw":
        return EndpointSpec("file", path)
    return EndpointSpec("image", path, facts.format, options)


def _check_readable(path: str) -> None:
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISREG(mode):
            with Path(path).open("rb"):
                return
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}", fix="check the path, its owner and its mode") from error
    kind = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a block device"
    raise Unreadable(f"{path} is {kind}", fix="give a disk image, a block device or a URL")


def _promised_target(path: Path) -> str:
    """Say what a new file's name promises; refuses a promise that we could not keep."""
    suffix = path.suffix.lower()
    if suffix in _NO_TARGETS:
        raise BadInput(
            f"{path}: a {suffix} file cannot be written", fix="name a .qcow2, or say raw:PATH if its name is not meant"
        )
    return _TARGET_SUFFIXES.get(suffix, "raw")


def _found_format(path: Path) -> str | None:
    """Find what an existing target is, so that it is written as that; None for a new or empty file."""
    from vmferry.engine.images.probe import detect_format
    from vmferry.engine.images.reader import FileReader

    if not path.is_file() or not path.stat().st_size:
        return None
    with FileReader(path) as reader:
        found = detect_format(reader)
    return found if found in IMAGE_FORMATS else "raw"
