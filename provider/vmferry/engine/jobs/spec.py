# SPDX-License-Identifier: Apache-2.0
"""What a job is asked to do, as plain data: the content of job.json. Holds no secret."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmferry.engine.errors import BadInput

SPEC_VERSION = 1
ID_LIMIT = 120
_ID = re.compile(r"[A-Za-z0-9_=][A-Za-z0-9._=-]{0,119}")
_DIGEST_CHARS = 12
PACE = frozenset({"rate", "windows", "workers"})
"""Parameters that say how fast, not what: with others it is still the same job, so a retry may bring new limits."""


class JobKind(enum.Enum):
    """What a job can do."""

    COPY = "copy"
    """Move a disk's bytes from a source to a target, and prove them on the way."""
    CONVERT = "convert"
    """Copy into an image that is made for it, in any format qemu writes."""
    PROOF = "proof"
    """Read a disk and work out its root, without writing it anywhere."""
    INSPECT = "inspect"
    """Look at an untrusted image and say what it is, or refuse it."""
    FSCK = "fsck"
    """Check the file systems on a disk."""


@dataclass(frozen=True)
class JobSpec:
    """One job: two starts with equal specs are the same job."""

    id: str
    """Names the job and its directory; the same for every try of the same work."""
    kind: JobKind
    """What to do."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the kind takes, as JSON; see docs/jobs.md."""
    version: int = SPEC_VERSION
    """Of this format."""

    def __post_init__(self) -> None:
        check_job_id(self.id)

    def to_json(self) -> dict[str, Any]:
        """Turn into what `from_json` reads."""
        return {"version": self.version, "id": self.id, "kind": self.kind.value, "params": dict(self.params)}

    @classmethod
    def from_json(cls, raw: Any) -> JobSpec:
        """Read what `to_json` wrote; raises `BadInput` naming the field that is wrong."""
        if not isinstance(raw, dict) or not isinstance(raw.get("params", {}), dict):
            raise BadInput("a job's spec is no JSON object", fix="give {version, id, kind, params}")
        unknown = sorted(set(raw) - {"version", "id", "kind", "params"})
        if unknown:
            raise BadInput(f"a job's spec has no field {unknown[0]!r}", fix="give {version, id, kind, params}")
        version = raw.get("version", SPEC_VERSION)
        if version != SPEC_VERSION:
            raise BadInput(f"job spec version {version!r} is not known", fix="use the vmferry that wrote it, or newer")
        return cls(str(raw.get("id", "")), _parse_kind(raw.get("kind")), raw.get("params", {}))


def _parse_kind(raw: Any) -> JobKind:
    try:
        return JobKind(raw)
    except ValueError:
        known = ", ".join(kind.value for kind in JobKind)
        raise BadInput(f"{raw!r} is no kind of job", fix=f"use one of {known}") from None


def check_job_id(raw: str) -> str:
    """Give the id back when it can be a directory's name everywhere, else raise `BadInput`."""
    if not _ID.fullmatch(raw):
        raise BadInput(
            f"{raw[:200]!r} cannot be a job id",
            fix=f"use 1 to {ID_LIMIT} of A-Z a-z 0-9 . _ = - and no dot or dash first, or make it with job_id()",
        )
    return raw


def job_id(*parts: object) -> str:
    """Make a job id from names of any kind: the same parts always give the same id, other parts another.

    What a file name should not hold becomes ``_``; when that or shortening loses something, a hash of the parts
    is put behind, so that ``a/b`` and ``a_b`` stay two jobs.
    """
    texts = [str(part) for part in parts]
    name = "-".join(re.sub(r"[^A-Za-z0-9._=]", "_", text) for text in texts)
    is_exact = all(re.fullmatch(r"[A-Za-z0-9._=]+", text) for text in texts)
    if is_exact and _ID.fullmatch(name):
        return name
    digest = hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:_DIGEST_CHARS]
    short = name.lstrip(".-")[: ID_LIMIT - _DIGEST_CHARS - 1]
    return f"{short}-{digest}" if short else digest


def differences(found: JobSpec, wanted: JobSpec) -> list[str]:
    """Name what differs between two specs, in words for a message; empty when they are the same job."""
    return list(_differ("", _without_pace(found), _without_pace(wanted)))


def _without_pace(spec: JobSpec) -> dict[str, Any]:
    kept = {name: value for name, value in spec.params.items() if name not in PACE}
    return {**spec.to_json(), "params": kept}


def _differ(path: str, found: Any, wanted: Any) -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(set(found) | set(wanted))
        return [text for key in keys for text in _differ(f"{path}.{key}".lstrip("."), found.get(key), wanted.get(key))]
    return [] if found == wanted else [f"{path} was {found!r}, now it is {wanted!r}"]
