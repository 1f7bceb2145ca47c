"""The simulated site: its inventory and settings, and who looks after what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.oci.clock import Clock
from lab.oci.events import Events
from lab.oci.faults import Faults
from lab.oci.model import Inventory, StateFile, Thing, new_id
from lab.oci.policies import DEFAULT_POLICIES, Policies
from lab.oci.principals import ApiKey, Principals
from lab.oci.router import not_found

if TYPE_CHECKING:
    from lab.oci.guests import Guest

GB = 1 << 30
DOMAINS = ("lAbX:US-ASHBURN-AD-1", "lAbX:US-ASHBURN-AD-2", "lAbX:US-ASHBURN-AD-3")
FAULT_DOMAINS = ("FAULT-DOMAIN-1", "FAULT-DOMAIN-2", "FAULT-DOMAIN-3")
SETTINGS: dict[str, Any] = {
    "delay": 0.1,
    "delays": {},
    "page_size": 100,
    "forget_seconds": 3600.0,
    "retry_token_seconds": 86400.0,
    "session_seconds": 1200.0,
    "resource_session_seconds": 86400.0,
    "limits": {},
    "full": [],
    "policies": DEFAULT_POLICIES,
    "function": None,
    "secrets": {},
    "cut_until": 0.0,
    "cut_hangs": False,
    "cloud_init_error": "",
    "event_tries": 3,
    "function_seconds": 30.0,
    "backup_policies": {},
}
"""delay: seconds that a state lasts, `delays` by name (instance.provisioning ...) · full: "AD" or "AD/fault domain"
without room · limits: kind → number · function: {url | socket, types, buckets} that gets events · event_tries: then an
event is a dead letter · cut_until: no answers before; cut_hangs: not even a reset · cloud_init_error: what workers'
cloud-init ends with · backup_policies: name → OCID of a compartment's own."""


@dataclass(frozen=True)
class Place:
    """Where things are."""

    directory: Path
    tenancy: str
    compartments: dict[str, str]
    """Name → OCID."""
    namespace: str
    subnet: str
    vcn: str
    network: str
    """The first three numbers of its addresses."""
    ssh_port: int
    authority: Path
    """Who signed the certificate of the API."""


class Site:
    """All that the API works on. Hold `lock` to read or change the inventory."""

    def __init__(self, place: Place, key: ApiKey) -> None:
        self.place = place
        self.lock = threading.RLock()
        self.file = StateFile(place.directory / "state.json")
        self.inventory = self.file.load() or Inventory()
        self.inventory.settings = {**SETTINGS, **self.inventory.settings}
        self.faults = Faults()
        self.calls: list[dict[str, Any]] = []
        self.policies = Policies(self.inventory.settings)
        self.principals = Principals(place.directory / "keys", place.tenancy)
        self.principals.add_user(key)
        self.guests: dict[str, Guest] = {}
        self.pool = ThreadPoolExecutor(16, thread_name_prefix="step")
        self.clock = Clock(self)
        self.events = Events(self)
        self.cuts = 0
        """How often the network was cut."""
        self.port = 0
        self.metadata_port = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What can be changed while it runs."""
        return self.inventory.settings

    def delay(self, name: str) -> float:
        """Say how long something takes, in seconds."""
        return float(self.settings["delays"].get(name, self.settings["delay"]))

    def add(self, kind: str, wire: dict[str, Any], **hidden: Any) -> Thing:
        """Make a thing with a new OCID."""
        thing = Thing(kind, new_id(kind), {**wire, "id": ""}, hidden)
        thing.wire["id"] = thing.id
        self.inventory.things[thing.id] = thing
        return thing

    def find(self, kind: str, id: str) -> Thing:
        """Return a thing; refuses when there is none, or when its end was too long ago."""
        found = self.inventory.things.get(id)
        if found is None or found.kind != kind or self.is_forgotten(found):
            raise not_found()
        return found

    def is_forgotten(self, thing: Thing) -> bool:
        """Tell whether a thing ended so long ago that the API shows it no more."""
        return bool(thing.gone) and thing.gone + float(self.settings["forget_seconds"]) < time.time()

    def check_compartment(self, compartment: str) -> None:
        """Refuse a compartment that is not there."""
        if compartment != self.place.tenancy and compartment not in self.place.compartments.values():
            raise not_found("compartment")

    def instance_directory(self, instance: Thing) -> Path:
        """Say where an instance's boot volume lies."""
        return self.place.directory / "instances" / instance.id[-16:]

    def volume_path(self, volume: Thing) -> Path:
        """Say where a volume's bytes lie."""
        return self.place.directory / "volumes" / f"{volume.id}.raw"

    def guest_environment(self, instance: Thing) -> dict[str, str]:
        """Say what programs in an instance have to know, because its metadata service is not at the usual address."""
        url = f"http://127.0.0.1:{self.metadata_port}/{instance.id}/opc/v2"
        return {"OCI_METADATA_BASE_URL": url, "OCI_LAB_ENDPOINT": f"https://127.0.0.1:{self.port}"}

    def later(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do something beside the calls."""
        self.pool.submit(work, *arguments)

    def save(self) -> None:
        """Write the inventory to its file."""
        with self.lock:
            self.file.save(self.inventory)
