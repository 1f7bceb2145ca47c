# SPDX-License-Identifier: Apache-2.0
"""Values as plain JSON and back: what goes from one step of a run to the next, in another process."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

_Value = TypeVar("_Value")


def to_plain(value: Any) -> Any:
    """Turn dataclasses, enums and tuples into dicts, texts and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(one) for one in value]
    return value


def from_plain(kind: type[_Value], raw: Any) -> _Value:
    """Make a value of this kind from what `to_plain` gave; members that are not there get their defaults."""
    made: _Value = _make(kind, raw)
    return made


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _make(kind: Any, raw: Any) -> Any:
    if raw is None:
        return None
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        (kind,) = (one for one in typing.get_args(kind) if one is not type(None))
        return _make(kind, raw)
    if origin is tuple:
        return tuple(_make(typing.get_args(kind)[0], one) for one in raw)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(raw)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        known = {one.name for one in dataclasses.fields(kind)}
        return kind(**{name: _make(hints[name], one) for name, one in raw.items() if name in known})
    return raw
