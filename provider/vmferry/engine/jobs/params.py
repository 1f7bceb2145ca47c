# SPDX-License-Identifier: Apache-2.0
"""What each kind of job takes, checked before anything is made: an unknown or malformed parameter changes nothing."""

from __future__ import annotations

from typing import Any

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import BadInput
from vmferry.engine.jobs.spec import JobKind, JobSpec
from vmferry.engine.throttle import parse_windows

_MOVING = frozenset({"source", "workers", "rate", "windows", "proof", "size_limit"})
_COPYING = _MOVING | {"target", "since", "parent", "zero_tail"}

KNOWN: dict[JobKind, frozenset[str]] = {
    JobKind.COPY: _COPYING,
    JobKind.CONVERT: _COPYING,
    JobKind.PROOF: _MOVING | {"length"},
    JobKind.INSPECT: frozenset({"source", "format", "name", "size_limit", "allow_extents_beside", "sha256"}),
    JobKind.FSCK: frozenset({"disk", "format", "policy"}),
}
"""The parameters there are."""

_NEEDED: dict[JobKind, tuple[str, ...]] = {
    JobKind.COPY: ("source", "target"),
    JobKind.CONVERT: ("source", "target"),
    JobKind.PROOF: ("source",),
    JobKind.INSPECT: ("source",),
    JobKind.FSCK: ("disk",),
}
_NUMBERS = ("workers", "rate", "size_limit", "length")
_TEXTS = ("since", "proof", "format", "name", "disk", "policy", "sha256")
_FLAGS = ("zero_tail", "allow_extents_beside")


def check_params(spec: JobSpec) -> None:
    """Raise `BadInput` for what the kind of job does not take, naming job and parameter."""
    params = spec.params
    for name in sorted(set(params) - KNOWN[spec.kind]):
        known = ", ".join(sorted(KNOWN[spec.kind]))
        raise BadInput(f"job {spec.id}: {spec.kind.value} takes no {name!r}", fix=f"it takes {known}")
    for name in _NEEDED[spec.kind]:
        if params.get(name) is None:
            raise BadInput(f"job {spec.id}: {spec.kind.value} needs {name!r}", fix="add it to params")
    for name, value in params.items():
        if value is not None:
            _check_value(spec, name, value)
    if spec.kind is JobKind.CONVERT and read_endpoint(spec, "target").kind != "image":
        raise BadInput(f"job {spec.id}: convert writes an image", fix='give a target of kind "image"')


def read_endpoint(spec: JobSpec, name: str) -> EndpointSpec:
    """Read a parameter that says where bytes are."""
    try:
        return EndpointSpec.from_json(spec.params[name])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"job {spec.id}: {name} does not say where bytes are", fix="give {kind, address, format, options}"
        ) from error


def _check_value(spec: JobSpec, name: str, value: Any) -> None:
    if name in ("source", "target"):
        read_endpoint(spec, name)
    elif name == "windows":
        _check_windows(spec, value)
    elif not _is_well_typed(name, value):
        raise BadInput(f"job {spec.id}: {name} cannot be {value!r}", fix="see docs/jobs.md")


def _check_windows(spec: JobSpec, value: Any) -> None:
    try:
        parse_windows(value)
    except (BadInput, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"job {spec.id}: windows cannot be {value!r}", fix="give [{from, to, bytes_per_s}]") from error


def _is_well_typed(name: str, value: Any) -> bool:
    if name in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    if name in _FLAGS:
        return isinstance(value, bool)
    if name == "parent":
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    return name in _TEXTS and isinstance(value, str)
