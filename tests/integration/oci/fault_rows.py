"""What can go wrong in an import into OCI, one row a fault: what is broken, how the import ends, what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.oci.site import DOMAINS

from vmferry.engine.errors import EngineError, Retry, SourceChanged, SourceLost
from vmferry.hosts.errors import HostUnfit
from vmferry.platforms.errors import (
    BadState,
    Conflict,
    LoginRefused,
    NoRoom,
    NotPermitted,
    NotThere,
    Refused,
    SiteAway,
    WaitedTooLong,
)
from vmferry.platforms.oci.failures import NoCapacity
from vmferry.platforms.oci.waits import WorkerLost


@dataclass(frozen=True)
class Fault:
    """One rule of the lab's."""

    action: str
    match: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One thing that goes wrong. Without an error the import has to end well all the same."""

    id: str
    faults: tuple[Fault, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[EngineError] | None = None
    retry: Retry | None = None
    words: str = ""
    site: Mapping[str, Any] = field(default_factory=dict)
    """How patient the driver is."""
    rule: Mapping[str, Any] = field(default_factory=dict)


def call(action: str, method: str, path: str, **more: Any) -> Fault:
    """Break a call of the API."""
    return Fault(action, {"method": method, "path": path}, more)


def state(action: str, kind: str, entered: str, **more: Any) -> Fault:
    """Break a thing that is about to enter a state."""
    return Fault(action, {"kind": kind, "state": entered}, more)


LAUNCH, VOLUME, ATTACH = ("POST", "/instances/?$"), ("POST", "/volumes/?$"), ("POST", "/volumeAttachments/?$")
OBJECT, WAYS = "/p/.*/o/", ("POST", "/p/?$")
SHORT = {"outage_s": 0.5}
BACKOFF, NEVER, CLEANUP = Retry.BACKOFF, Retry.NEVER, Retry.AFTER_CLEANUP

ROWS: tuple[Row, ...] = (
    Row("launch: too many requests, twice", (call("status", *LAUNCH, value=429, times=2),)),
    Row("launch: 500", (call("status", *LAUNCH, value=500),)),
    Row("launch: connection drops", (call("drop", *LAUNCH),)),
    Row("launch: done, answer lost", (call("lose_answer", *LAUNCH),)),
    Row("launch: for ever 500", (call("status", *LAUNCH, value=500, times=-1),), error=SiteAway, retry=BACKOFF,
        words="launching a worker", site=SHORT),
    Row("launch: refused", (call("status", *LAUNCH, value=400),), error=Refused, retry=NEVER, words="launching"),
    Row("launch: not allowed", (call("status", *LAUNCH, value=404),), error=NotThere, retry=NEVER, words="policies"),
    Row("launch: no capacity anywhere", settings={"full": [*DOMAINS]},
        error=NoCapacity, retry=BACKOFF, words="[Oo]ut of host capacity"),
    Row("launch: no capacity in two domains", settings={"full": [DOMAINS[0], DOMAINS[2]]}),
    Row("launch: limit reached", settings={"limits": {"instance": 0}}, error=NoRoom, retry=CLEANUP, words="limit"),
    Row("worker: terminated while it starts", (state("phase", "instance", "RUNNING", value="TERMINATED"),),
        error=WorkerLost, retry=BACKOFF, words="TERMINATED"),
    Row("worker: stopped while it starts", (state("phase", "instance", "RUNNING", value="STOPPED"),),
        error=WorkerLost, retry=BACKOFF, words="STOPPED"),
    Row("worker: never runs", (state("stuck", "instance", "RUNNING"),), error=WaitedTooLong, retry=BACKOFF,
        words="instance is still", site={"wait_s": 2.0}),
    Row("worker: first boot fails", settings={"cloud_init_error": "no space left"}, error=HostUnfit,
        words="no space left"),
    Row("log-in: refused", (call("status", "GET", "/instances", value=401),), error=LoginRefused, retry=NEVER,
        words="clock"),
    Row("log-in: not permitted", (call("status", "GET", "/instances", value=403, code="NotAuthorized"),),
        error=NotPermitted, retry=NEVER, words="policies"),
    Row("volume: 503", (call("status", *VOLUME, value=503),)),
    Row("volume: done, answer lost", (call("lose_answer", *VOLUME),)),
    Row("volume: faulty", (state("phase", "volume", "AVAILABLE", value="FAULTY"),), error=BadState, retry=BACKOFF,
        words="FAULTY"),
    Row("volume: limit reached", settings={"limits": {"volume": 0}}, error=NoRoom, retry=CLEANUP, words="limit"),
    Row("attach: busy for a moment", (call("status", *ATTACH, value=409, times=2),)),
    Row("attach: done, answer lost", (call("lose_answer", *ATTACH),)),
    Row("attach: stuck", (state("stuck", "volumeattachment", "ATTACHED"),), error=WaitedTooLong, retry=BACKOFF,
        words="attachment is still", site={"wait_s": 2.0}),
    Row("attach: ends detached", (state("phase", "volumeattachment", "ATTACHED", value="DETACHED"),), error=BadState,
        retry=BACKOFF, words="DETACHED"),
    Row("object: head is 503", (call("status", "HEAD", "/o/", value=503, times=2),)),
    Row("object: head is for ever 500", (call("status", "HEAD", "/o/", value=500, times=-1),), error=SiteAway,
        retry=BACKOFF, words="looking at object", site=SHORT),
    Row("object: way is refused for a while", (call("status", *WAYS, value=429),)),
    Row("object: reads fail twice", (call("status", "GET", OBJECT, value=503, times=2, skip=1),)),
    Row("object: reads drop", (call("drop", "GET", OBJECT, times=3, skip=1),)),
    Row("object: reads end too early", (call("cut_body", "GET", OBJECT, value=5000, times=2, skip=1),)),
    Row("object: reads are not allowed", (call("status", "GET", OBJECT, value=404, times=-1),), error=EngineError,
        words="404"),
    Row("object: overwritten while it is read", (call("change_object", "GET", OBJECT, skip=3),),
        error=SourceChanged, retry=NEVER, words="replaced"),
    Row("object: gone for a minute", (call("status", "GET", OBJECT, value=500, times=-1),), error=SourceLost,
        retry=BACKOFF, words="500"),
    Row("volume: tags refused for a while", (call("status", "PUT", "/volumes/", value=409, times=2),)),
    Row("detach: busy for a moment", (call("status", "DELETE", "/volumeAttachments/", value=409, times=2),)),
    Row("policy: 500", (call("status", "POST", "/volumeBackupPolicyAssignments", value=500),),
        rule={"volume_backup_policy": "gold"}),
    Row("policy: there is none", rule={"volume_backup_policy": "platinum"}, error=NotThere, retry=NEVER,
        words="platinum"),
    Row("terminate: 500, twice", (call("status", "DELETE", "/instances/", value=500, times=2),)),
    Row("terminate: busy for a moment", (call("status", "DELETE", "/instances/", value=409),)),
    Row("volume: held by another instance", (call("status", *ATTACH, value=409, times=-1),), error=Conflict,
        retry=BACKOFF, words="attaching"),
    Row("everything: slow", (call("delay", "GET", "/", value=0.4, times=6),)),
)  # fmt: skip
