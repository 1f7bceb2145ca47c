"""What there is at the site: things with an id, a state and what the API shows of them."""

from __future__ import annotations

import dataclasses
import json
import secrets
import string
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REALM, REGION, REGION_KEY = "oc1", "us-ashburn-1", "iad"
_LETTERS = string.ascii_lowercase + "234567"


def new_id(kind: str, *, regional: bool = True) -> str:
    """Make an OCID."""
    tail = "".join(secrets.choice(_LETTERS) for _ in range(56))
    return f"ocid1.{kind}.{REALM}.{REGION_KEY if regional else ''}.aaaa{tail}"


def new_etag() -> str:
    """Make the mark of a version."""
    return str(uuid.uuid4())


def timestamp(moment: float | None = None) -> str:
    """Write a moment as the API does."""
    moment = time.time() if moment is None else moment
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


@dataclass
class Step:
    """A state to come."""

    state: str
    delay_s: float


@dataclass
class Thing:
    """Something with an OCID."""

    kind: str
    """instance, volume, bootvolume, volumeattachment, vnic, vnicattachment, image, ..."""
    id: str
    wire: dict[str, Any]
    """What the API shows."""
    hidden: dict[str, Any] = field(default_factory=dict)
    """What only the lab knows: files, ports."""
    etag: str = field(default_factory=new_etag)
    plan: list[Step] = field(default_factory=list)
    due: float = 0.0
    """When it enters the next state of its plan; 0: never."""
    gone: float = 0.0
    """When it entered its last state; the API shows it a while longer."""

    @property
    def state(self) -> str:
        """Where it is in its life."""
        return str(self.wire.get("lifecycleState", ""))

    def follow(self, *steps: Step) -> None:
        """Plan the states to come, instead of those planned before."""
        self.plan = list(steps)
        self.due = time.time() + steps[0].delay_s if steps else 0.0

    def enter(self, state: str) -> None:
        """Be in a state now."""
        self.wire["lifecycleState"] = state
        self.touch()

    def touch(self) -> None:
        """Be another version from now on."""
        self.etag = new_etag()


@dataclass
class Inventory:
    """All there is; lies in one JSON file."""

    things: dict[str, Thing] = field(default_factory=dict)
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Per bucket, by name."""
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Pre-authenticated requests, by their secret."""
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Retry tokens: what was asked and what came of it."""
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def all(self, kind: str) -> Iterator[Thing]:
        """Yield the things of a kind, the oldest first."""
        return (one for one in list(self.things.values()) if one.kind == kind)


class StateFile:
    """Keeps an inventory in a file that is whole at any moment, whoever is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def load(self) -> Inventory | None:
        """Read what was saved last; None when there is nothing."""
        if not self._path.exists():
            return None
        raw = json.loads(self._path.read_text())
        things = {id: _thing(one) for id, one in raw.pop("things").items()}
        return Inventory(things=things, **raw)

    def save(self, inventory: Inventory) -> None:
        """Write it when it changed: a new file first, then renamed over the old one."""
        text = json.dumps(inventory, default=_fields)
        if text == self._last:
            return
        fresh = self._path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.replace(self._path)
        self._last = text


def _fields(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _thing(raw: dict[str, Any]) -> Thing:
    plan = [Step(**one) for one in raw.pop("plan")]
    return Thing(plan=plan, **raw)
