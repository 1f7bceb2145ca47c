# SPDX-License-Identifier: Apache-2.0
"""What the kinds of job do: each opens what its parameters name, calls the room that does the work, and closes it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import BadInput, RefusedImage, ShortRead
from vmferry.engine.jobs.beforehand import check_proof_place, refuse_same, require_parent, require_there
from vmferry.engine.jobs.directory import JobDirectory
from vmferry.engine.jobs.params import read_endpoint
from vmferry.engine.jobs.result import to_plain
from vmferry.engine.jobs.spec import JobKind, JobSpec
from vmferry.engine.progress import Progress
from vmferry.engine.throttle import Throttle, parse_windows
from vmferry.engine.units import format_bytes


@dataclass(frozen=True)
class Work:
    """One attempt at a job."""

    directory: JobDirectory
    """Where journal and control file are."""
    spec: JobSpec
    """What to do."""
    secrets: Mapping[str, str]
    """Names to secrets; only ever in memory."""
    progress: Progress
    """Where to count."""
    cancel: threading.Event
    """Set when the job has to stop."""

    def perform(self) -> dict[str, Any]:
        """Do it; returns the kind's result as JSON, or raises."""
        value = to_plain(_KINDS[self.spec.kind](self))
        return value if isinstance(value, dict) else {"value": value}

    def throttle(self) -> Throttle:
        """Limit the rate as asked at the beginning, and as the control file says from then on."""
        windows = parse_windows(self.spec.params.get("windows") or ())
        return Throttle(self.spec.params.get("rate"), windows=windows, control=self.directory.control)

    def proof(self) -> Path | None:
        """Say where the proof goes; a relative path is meant from the job's directory."""
        name = self.spec.params.get("proof")
        return self.directory.path / name if name else None

    @contextlib.contextmanager
    def source(self) -> Iterator[Endpoint]:
        """Open the source; refuses one that is larger than the job allows."""
        with contextlib.closing(open_source(read_endpoint(self.spec, "source"), self.secrets)) as source:
            limit = self.spec.params.get("size_limit")
            if limit and source.size > limit:
                what = f"{source.name} has {format_bytes(source.size)}, more than the {format_bytes(limit)} allowed"
                raise RefusedImage(what, fix="raise size_limit if this is really meant")
            yield source


def _copy(work: Work) -> object:
    from vmferry.engine.journal import Journal
    from vmferry.engine.pump.passes import copy, journal_header
    from vmferry.engine.pump.result import CopyOptions

    params = work.spec.params
    options = CopyOptions(
        workers=params.get("workers") or read_endpoint(work.spec, "source").workers,
        since=params.get("since"),
        parent=tuple(params.get("parent") or ()),
        zero_tail=params.get("zero_tail", True),
    )
    wanted = read_endpoint(work.spec, "target")
    _check_copy(work, wanted, options.parent)
    with work.source() as source, contextlib.closing(open_target(wanted, source.size, work.secrets)) as target:
        if options.parent and not work.directory.journal.exists():
            require_parent(target, options.parent)
        header = journal_header(source, target, options)
        with contextlib.closing(Journal.open(work.directory.journal, header)) as journal:
            return copy(
                source, target, journal=journal, options=options, throttle=work.throttle(),
                progress=work.progress, cancel=work.cancel, proof=work.proof(),
            )  # fmt: skip


def _check_copy(work: Work, target: EndpointSpec, parent: tuple[str, ...]) -> None:
    refuse_same(read_endpoint(work.spec, "source"), target)
    require_there(target, parent)
    proof = work.proof()
    if proof is not None:
        check_proof_place(proof, target)


def _prove(work: Work) -> object:
    from vmferry.engine.pump.passes import measure

    proof = work.proof()
    if proof is not None:
        check_proof_place(proof)
    with work.source() as whole:
        source = _beginning(whole, work.spec.params.get("length"))
        return measure(
            source, workers=work.spec.params.get("workers") or read_endpoint(work.spec, "source").workers,
            throttle=work.throttle(),
            progress=work.progress, cancel=work.cancel, proof=proof,
        )  # fmt: skip


def _beginning(source: Endpoint, length: Optional[int]) -> Endpoint:
    """Give the endpoint as far as the disk in it goes; a volume is larger than the image that was written to it."""
    from vmferry.engine.endpoints.sized import Sized

    if length is None or length == source.size:
        return source
    if length > source.size:
        raise ShortRead(f"{source.name} has {source.size} bytes, fewer than the {length} to prove")
    return Sized(source, length)


def _inspect(work: Work) -> object:
    from vmferry.engine.images.checksum import check_sha256
    from vmferry.engine.images.facts import DEFAULT_LIMITS, Limits
    from vmferry.engine.images.inspect import inspect
    from vmferry.engine.images.reader import EndpointReader

    params = work.spec.params
    limits = Limits(max_virtual_bytes=params["size_limit"]) if params.get("size_limit") else DEFAULT_LIMITS
    wanted = read_endpoint(work.spec, "source")
    with contextlib.ExitStack() as open_things:
        subject: Any = wanted.address
        if wanted.kind not in ("file", "image", "stream") or "://" in wanted.address:
            source = open_things.enter_context(contextlib.closing(open_source(wanted, work.secrets)))
            subject = open_things.enter_context(contextlib.closing(EndpointReader(source)))
            if params.get("sha256"):
                check_sha256(source, params["sha256"], work.progress, work.cancel)
        elif params.get("sha256"):
            raise BadInput("sha256 is for objects", fix="leave it out for a path: sha256sum does it")
        return inspect(
            subject,
            claimed_format=params.get("format"),
            name=params.get("name"),
            limits=limits,
            allow_extents_beside=params.get("allow_extents_beside", False),
        )


def _fsck(work: Work) -> object:
    from vmferry.engine.filesystems.fsck import check_disk

    params = work.spec.params
    return check_disk(params["disk"], params.get("policy") or "check", format=params.get("format"))


_KINDS: dict[JobKind, Callable[[Work], object]] = {
    JobKind.COPY: _copy,
    JobKind.CONVERT: _copy,
    JobKind.PROOF: _prove,
    JobKind.INSPECT: _inspect,
    JobKind.FSCK: _fsck,
}
