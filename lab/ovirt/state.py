"""Keeps the engine's records in one JSON file that is whole at any moment, whoever is killed."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

from lab.ovirt.model import Inventory


class StateFile:
    """Saves and loads an inventory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def load(self) -> Inventory | None:
        """Read what was saved last; None when there is nothing."""
        if not self._path.exists():
            return None
        raw = json.loads(self._path.read_text())
        found = _decode(Inventory, raw)
        assert isinstance(found, Inventory)
        return found

    def save(self, inventory: Inventory) -> None:
        """Write it when it changed: a new file first, then renamed over the old one."""
        text = json.dumps(inventory, default=_encode)
        if text == self._last:
            return
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(text)  # a kill loses nothing of it, and the machine's own death is not simulated
        fresh.replace(self._path)
        self._last = text


def _encode(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _decode(kind: Any, raw: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = next(one for one in arguments if one is not type(None))
        return None if raw is None else _decode(inner, raw)
    if origin is list:
        return [_decode(arguments[0], one) for one in raw]
    if origin is dict:
        return {key: _decode(arguments[1], one) for key, one in raw.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{key: _decode(hints[key], one) for key, one in raw.items()})  # type: ignore[operator]
    return raw
