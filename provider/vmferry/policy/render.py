# SPDX-License-Identifier: Apache-2.0
"""Writes DAG files from a template: a few VMs a file, atomically, and only files whose bytes change.

A file we made begins with a line that has the SHA-256 of the rest. Only such files are replaced or removed; one that
was edited by hand is put aside as ``<name>.edited`` first. All files are rendered and compiled before the first is
written, so a broken template or policy changes nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from vmferry.policy.errors import BrokenTemplate, ForeignFile, PolicyError
from vmferry.policy.literal import PythonSource, as_python, require_source
from vmferry.policy.shards import Shard, cut_shards, split_shared
from vmferry.policy.vm import VmPolicy

_MARK = "# Made by vmferry from the policy; edit variables.json instead. sha256:"
_HEADER = re.compile(re.escape(_MARK) + r"([0-9a-f]{64})\n")
_LOCK = ".vmferry-render.lock"


@dataclass(frozen=True, slots=True)
class Rendering:
    """What was done, as file names."""

    written: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    put_aside: tuple[str, ...] = ()
    """Files that somebody had edited; they are kept as ``<name>.edited``."""

    @property
    def changed(self) -> bool:
        """Tell whether Airflow has anything to parse anew."""
        return bool(self.written or self.removed)


def render(
    vms: Sequence[VmPolicy],
    template: Path,
    directory: Path,
    *,
    shard_size: int = 100,
    values: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> Rendering:
    """Make the DAG files of these VMs, and remove the ones that this made before and that are not needed any more.

    The template sees ``vms`` (a list of `VmPolicy.to_json`), the same as ``shared`` and ``own`` (what most of them have
    in common, and what each has differently), ``site`` and `values`; each ``{{ … }}`` needs ``| py``.
    """
    files = render_texts(vms, template, shard_size=shard_size, values=values)
    if dry_run:
        return _compare(files, directory)
    with _locked(directory):
        found = _compare(files, directory)
        for name in found.put_aside:
            _put_aside(directory / name)
        for name in found.written:
            _write(directory / name, files[name])
        # New ones first: a VM that moves is in two files for a moment, but never in none.
        for name in found.removed:
            (directory / name).unlink(missing_ok=True)
        _sync(directory)
    return found


def render_texts(
    vms: Sequence[VmPolicy], template: Path, *, shard_size: int = 100, values: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Give the files' content by name, each of it valid Python. Changes nothing."""
    compiled = _compile_template(template)
    shards = cut_shards(vms, shard_size)
    return {one.filename: _render_shard(compiled, one, dict(values or {}), template) for one in shards}


def is_ours(path: Path) -> bool:
    """Tell whether we made this file, edited since or not."""
    with path.open("rb") as opened:
        return opened.read(len(_MARK)) == _MARK.encode()


def is_edited(path: Path) -> bool:
    """Tell whether somebody changed a file of ours."""
    text = path.read_bytes()
    header, _, body = text.partition(b"\n")
    return _HEADER.fullmatch(header.decode("ascii", "replace") + "\n") is None or _digest(body) not in header.decode()


def _compile_template(path: Path) -> jinja2.Template:
    # Autoescape is HTML's; `require_source` is what keeps values apart from code here.
    environment = jinja2.Environment(  # noqa: S701
        undefined=jinja2.StrictUndefined,
        finalize=require_source,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["py"] = _quote
    try:
        return environment.from_string(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise PolicyError(f"cannot read the template {path}: {failure.strerror}", fix="name its file") from failure
    except jinja2.TemplateSyntaxError as failure:
        message = f"{path}, line {failure.lineno}: {failure.message}"
        raise BrokenTemplate(message, fix="correct the template") from failure


def _quote(value: Any) -> PythonSource:
    if jinja2.is_undefined(value):
        str(value)  # raises jinja2.UndefinedError, which names it
    return as_python(value)


def _render_shard(template: jinja2.Template, shard: Shard, values: dict[str, Any], path: Path) -> str:
    try:
        vms = [vm.to_json() for vm in shard.vms]
        shared, own = split_shared(vms)
        body = template.render(**values, site=shard.site, vms=vms, shared=shared, own=own)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as failure:
        raise BrokenTemplate(f"{path}: {failure}", fix="correct the template") from failure
    text = f"{_MARK}{_digest(body.encode())}\n{body}"
    try:
        compile(text, shard.filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as failure:
        raise BrokenTemplate(f"{path} gives no valid Python: {failure}", fix="correct the template") from failure
    return text


def _compare(files: Mapping[str, str], directory: Path) -> Rendering:
    existing = {path.name: path for path in sorted(directory.glob("*.py"))}
    ours = {name for name, path in existing.items() if is_ours(path)}
    for name in sorted(files.keys() & existing.keys() - ours):
        fix = "move it away, or render into a directory of its own"
        raise ForeignFile(f"{existing[name]} is in the way and was not made by us", fix=fix)
    same = {name for name in ours & files.keys() if existing[name].read_bytes() == files[name].encode()}
    return Rendering(
        written=tuple(sorted(files.keys() - same)),
        unchanged=tuple(sorted(same)),
        removed=tuple(sorted(ours - files.keys())),
        put_aside=tuple(sorted(name for name in ours - same if is_edited(existing[name]))),
    )


def _put_aside(path: Path) -> None:
    """Copy an edited file: it must not be missing until the new one is there."""
    aside = path.with_name(f"{path.name}.edited")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.edited{number}")
    shutil.copy2(path, aside)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")  # not *.py: Airflow does not look at it
    with temporary.open("w", encoding="utf-8", newline="\n") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one renderer in at a time; the lock goes with the process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
