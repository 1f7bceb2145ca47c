"""All that we let an engine do to us, one line each: where in the life of a backup or restore, what, and how it ends.

A row without an error is outlasted in the same run. One with an error ends in exactly this class, whose `retry` is
written here as well, and its message has these words. `test_fault_rows` runs them all and looks what is left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmferry.engine.errors import EngineError, Retry, ShortRead, TargetTooSmall, TrustError
from vmferry.platforms.errors import (
    BadState,
    Conflict,
    LoginRefused,
    NoRoom,
    NotAsOrdered,
    NotPermitted,
    NotSupported,
    NotThere,
    PointFailed,
    Refused,
    SiteAway,
    TransferFailed,
    VmBusy,
    WaitedTooLong,
)

NEVER, BACKOFF, CLEANUP = Retry.NEVER, Retry.BACKOFF, Retry.AFTER_CLEANUP


@dataclass(frozen=True, slots=True)
class Fault:
    """What the simulated engine is told; see lab/ovirt/README.md."""

    action: str
    match: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault."""

    id: str
    step: str
    broken: str
    faults: tuple[Fault, ...] = ()
    error: type[EngineError] | None = None
    """None: the run outlasts it."""
    retry: Retry | None = None
    words: tuple[str, ...] = ()
    """What the message names; of a run that outlasts it: what its notes say."""
    site: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the driver: less patience, another password."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the engine: its version."""
    vm: Mapping[str, Any] = field(default_factory=dict)
    first: bool = False
    """There is no backup of it yet."""
    freeze: bool = False
    """Its file systems are to be frozen."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the VM (``vm``) or its first disk (``disk``) is put into, by force."""
    method: str = ""
    """How the disk of a backup that outlasts it was read: full, dirty or healed."""
    rule: Mapping[str, Any] = field(default_factory=dict)
    """What a restore is told besides."""


def call(action: str, method: str, path: str, **more: Any) -> Fault:
    """Break a call."""
    return Fault(action, {"method": method, "path": path}, more)


def thing(action: str, entity: str, phase: str, *, of: Mapping[str, Any] | None = None, **more: Any) -> Fault:
    """Break a thing that is about to enter a phase."""
    return Fault(action, {"entity": entity, "phase": phase, **(of or {})}, more)


EVER: dict[str, Any] = {"times": -1}
HASTY: dict[str, Any] = {"outage_s": 1.5, "wait_s": 2.0, "timeout_s": 2}
OLD: dict[str, Any] = {"version": "4.3.10"}
UP, DOWN = {"direction": "upload"}, {"direction": "download"}
UNTRACKED: dict[str, Any] = {"wishes": [{"size": 8 << 20, "backup": "none"}]}
LOGIN, VMS, DISK, HUNG, NICS = "/sso/oauth/token$", "/vms$", "/disks/", "/diskattachments$", "/nics"
BACKUPS_, ONE_BACKUP, WAYS, ONE_WAY = "/backups$", "/backups/[^/]+$", "/imagetransfers$", "/imagetransfers/[^/]+$"
END_WAY, END_BACKUP = "/imagetransfers/[^/]+/finalize$", "/backups/[^/]+/finalize$"
SNAPSHOTS, ONE_SNAPSHOT = "/snapshots$", "/snapshots/[^/]+$"

LOOKS = (
    Row("password", "log-in", "the password is wrong", (), LoginRefused, NEVER, ("admin@internal", "prod"),
        site={"password": "wrong"}),
    Row("user", "log-in", "nobody has that name", (), LoginRefused, NEVER, ("nobody@internal",),
        site={"user": "nobody@internal"}),
    Row("authority", "log-in", "another authority than the pinned one", (), TrustError, NEVER,
        ("fingerprint", "pinned"), site={"ca_fingerprint": "ab" * 32}),
    Row("address", "log-in", "nobody listens there", (), SiteAway, BACKOFF, ("localhost:1",),
        site={"url": "https://localhost:1", **HASTY}),
    Row("path", "log-in", "the address is of a page, as a proxy's is", (), SiteAway, BACKOFF, ("/elsewhere/api",),
        site={"path": "/elsewhere/api", **HASTY}),
    Row("login-503", "log-in", "a proxy's page, twice", (call("html503", "POST", LOGIN, times=2),)),
    Row("login-503-ever", "log-in", "a proxy's page for ever", (call("html503", "POST", LOGIN, **EVER),),
        SiteAway, BACKOFF, ("log-in", "503"), site=HASTY),
    Row("login-dropped", "log-in", "the connection breaks", (call("drop", "POST", LOGIN),)),
    Row("login-torn", "log-in", "half an answer", (call("malformed", "POST", LOGIN),)),
    Row("login-slow", "log-in", "slower than we wait", (call("delay", "POST", LOGIN, value=3),),
        site={"timeout_s": 1}),
    Row("list-503", "list", "a proxy's page", (call("html503", "GET", VMS),)),
    Row("list-500", "list", "the engine fails inside, twice", (call("status", "GET", VMS, value=500, times=2),)),
    Row("list-429", "list", "too many requests", (call("status", "GET", VMS, value=429),)),
    Row("list-401", "list", "the session ends", (call("401", "GET", VMS),)),
    Row("list-torn", "list", "half an answer", (call("malformed", "GET", VMS),)),
    Row("list-slow-ever", "list", "always slower than we wait", (call("delay", "GET", VMS, value=3, **EVER),),
        SiteAway, BACKOFF, ("listing VMs",), site=HASTY),
    Row("list-403", "list", "the user may not", (call("status", "GET", VMS, value=403),),
        NotPermitted, NEVER, ("listing VMs",)),
    Row("list-400", "list", "the engine calls it wrong", (call("status", "GET", VMS, value=400),),
        Refused, NEVER, ("listing VMs",)),
)  # fmt: skip
"""Calls that change nothing: check, and list the VMs."""

BACKUPS = (
    # Describe.
    Row("any-503", "describe", "a proxy's page for the first two calls, whatever they are",
        (Fault("html503", {}, {"times": 2}),), method="dirty"),
    Row("vms-404", "describe", "the engine knows no VMs", (call("status", "GET", VMS, value=404, **EVER),),
        NotThere, NEVER, ("{vm}", "looking for VM")),
    Row("vm-404", "describe", "the VM goes while we look", (call("status", "GET", HUNG, value=404, **EVER),),
        NotThere, NEVER, ("{vm}", "listing its disks")),
    Row("vm-503", "describe", "a proxy's page", (call("html503", "GET", VMS),), method="dirty"),
    Row("disk-503", "describe", "a proxy's page", (call("html503", "GET", DISK),), method="dirty"),
    Row("disk-dropped", "describe", "the connection breaks, thrice", (call("drop", "GET", DISK, times=3),),
        method="dirty"),
    Row("hung-torn", "describe", "half a list of disks", (call("malformed", "GET", HUNG),), method="dirty"),
    Row("nics-500", "describe", "the engine fails inside", (call("status", "GET", NICS, value=500),), method="dirty"),
    Row("disk-unseen", "describe", "its only disk is not shown to us",
        (call("status", "GET", DISK, value=404, **EVER),), NotSupported, NEVER, ("{vm}", "does not show")),
    # States that a backup cannot begin in.
    Row("paused", "check", "the VM is paused", (), VmBusy, BACKOFF, ("{vm}", "paused"),
        state={"vm": {"status": "paused"}}),
    Row("migrating", "check", "the VM migrates", (), VmBusy, BACKOFF, ("{vm}", "migrating"),
        state={"vm": {"status": "migrating"}}),
    Row("suspended", "check", "the VM is suspended", (), VmBusy, BACKOFF, ("{vm}", "suspended"),
        state={"vm": {"status": "suspended"}}),
    Row("disk-locked", "check", "a disk is locked", (), VmBusy, BACKOFF, ("{vm}", "_Disk1", "locked"),
        state={"disk": {"status": "locked"}}),
    Row("disk-illegal", "check", "a disk is illegal", (), VmBusy, BACKOFF, ("{vm}", "_Disk1", "illegal"),
        state={"disk": {"status": "illegal"}}),
    Row("vm-locked", "start", "the engine works on the VM", (), VmBusy, BACKOFF, ("{vm}", "starting a backup"),
        state={"vm": {"locked": True}}),
    Row("no-room", "space", "the storage domain is nearly full", (), NoRoom, CLEANUP,
        ("{vm}", "prod-data", "pauses all VMs"), site={"reserve_bytes": 1 << 50}),
    Row("domain-503", "space", "a proxy's page", (call("html503", "GET", "/storagedomains/"),), method="dirty"),
    # Switching the tracking of changes on.
    Row("track-409", "track", "the disk is locked for a moment", (call("409", "PUT", DISK, times=2),),
        vm=UNTRACKED, first=True, method="full"),
    Row("track-403", "track", "the user may not", (call("status", "PUT", DISK, value=403),),
        NotPermitted, NEVER, ("{vm}", "enabling incremental backup"),
        vm=UNTRACKED, first=True),
    # Starting it.
    Row("start-503", "start", "a proxy's page", (call("html503", "POST", BACKUPS_),), method="dirty"),
    Row("start-500", "start", "the engine fails inside", (call("status", "POST", BACKUPS_, value=500),),
        method="dirty"),
    Row("start-500-ever", "start", "the engine always fails inside",
        (call("status", "POST", BACKUPS_, value=500, **EVER),), SiteAway, BACKOFF, ("{vm}", "starting a backup", "500"),
        site=HASTY),
    Row("start-lost", "start", "done, and no answer", (call("lose_answer", "POST", BACKUPS_),), method="dirty"),
    Row("start-dropped", "start", "not done, and no answer", (call("drop", "POST", BACKUPS_),), method="dirty"),
    Row("start-torn", "start", "done, and half an answer", (call("malformed", "POST", BACKUPS_),), method="dirty"),
    Row("start-409", "start", "locked", (call("409", "POST", BACKUPS_, detail="[Disk x is locked]"),),
        VmBusy, BACKOFF, ("{vm}", "starting a backup", "Disk x is locked")),
    Row("start-403", "start", "the user may not", (call("status", "POST", BACKUPS_, value=403),),
        NotPermitted, NEVER, ("{vm}", "starting a backup")),
    Row("start-404", "start", "the VM goes just then", (call("status", "POST", BACKUPS_, value=404),),
        NotThere, NEVER, ("{vm}", "starting a backup")),
    Row("start-400", "start", "the engine refuses an incremental one", (call("status", "POST", BACKUPS_, value=400),),
        words=("no incremental backup was possible",), method="healed"),
    Row("start-400-ever", "start", "the engine calls it wrong", (call("status", "POST", BACKUPS_, value=400, **EVER),),
        Refused, NEVER, ("{vm}", "starting a backup")),
    # Its phases.
    Row("initializing-fails", "phases", "an incremental one fails at once",
        (thing("failed", "backup", "initializing"),),
        words=("no incremental backup was possible",), method="healed"),
    Row("starting-fails", "phases", "fails, whatever is asked for", (thing("failed", "backup", "starting", **EVER),),
        PointFailed, BACKOFF, ("{vm}", "backup", "failed")),
    Row("ready-fails", "phases", "fails when it is nearly ready", (thing("failed", "backup", "ready", **EVER),),
        PointFailed, BACKOFF, ("{vm}", "failed")),
    Row("starting-stuck", "phases", "never gets ready", (thing("delay", "backup", "starting", value=6),),
        WaitedTooLong, BACKOFF, ("{vm}", "still 'starting'"), site=HASTY),
    Row("starting-slow", "phases", "takes its time", (thing("delay", "backup", "starting", value=1.5),),
        method="dirty"),
    Row("does-not-freeze", "phases", "the guest does not freeze", (thing("failed", "backup", "starting"),),
        words=("did not freeze",), freeze=True, vm={"fqdn": "web.example", "agent": True}, method="dirty"),
    Row("poll-500", "phases", "the engine fails inside, twice",
        (call("status", "GET", ONE_BACKUP, value=500, times=2),),
        method="dirty"),
    Row("poll-401", "phases", "the session ends", (call("401", "GET", ONE_BACKUP),), method="dirty"),
    Row("poll-slow", "phases", "slow answers", (call("delay", "GET", ONE_BACKUP, value=0.5, times=2),), method="dirty"),
    Row("modes-503", "phases", "a proxy's page for its disks", (call("html503", "GET", "/backups/[^/]+/disks$"),),
        method="dirty"),
    # The way to the bytes.
    Row("way-503", "transfer", "a proxy's page", (call("html503", "POST", WAYS),), method="dirty"),
    Row("way-lost", "transfer", "done, and no answer", (call("lose_answer", "POST", WAYS),), method="dirty"),
    Row("way-dropped", "transfer", "not done, and no answer", (call("drop", "POST", WAYS),), method="dirty"),
    Row("way-403", "transfer", "the user may not", (call("status", "POST", WAYS, value=403, **EVER),),
        NotPermitted, NEVER, ("{vm}", "{disk}", "opening a transfer")),
    Row("way-409", "transfer", "refused once: the bitmap may be broken", (call("409", "POST", WAYS),), method="dirty"),
    Row("way-409-twice", "transfer", "refused twice: it is believed to be", (call("409", "POST", WAYS, times=2),),
        words=("bitmap", "healed by their proofs"), method="healed"),
    Row("way-409-ever", "transfer", "always refused", (call("409", "POST", WAYS, **EVER),),
        Conflict, BACKOFF, ("{vm}", "{disk}", "opening a transfer")),
    Row("way-fails", "transfer", "an incremental one fails, twice",
        (thing("failed", "transfer", "transferring", times=2),),
        words=("bitmap",), method="healed"),
    Row("way-fails-ever", "transfer", "always fails", (thing("failed", "transfer", "transferring", **EVER),),
        TransferFailed, BACKOFF, ("{vm}", "{disk}", "transfer")),
    Row("way-paused", "transfer", "paused by the engine", (thing("paused", "transfer", "transferring"),),
        method="dirty"),
    Row("way-stuck", "transfer", "never opens", (thing("stuck", "transfer", "initializing", **EVER),),
        WaitedTooLong, BACKOFF, ("{vm}", "{disk}", "still 'initializing'"), site=HASTY),
    Row("way-poll-503", "transfer", "a proxy's page", (call("html503", "GET", ONE_WAY),), method="dirty"),
    Row("bitmap-broken", "transfer", "the bitmap is broken", (thing("broken_bitmap", "backup", "frozen"),),
        words=("bitmap",), method="healed"),
    Row("size-larger", "transfer", "the engine says that the disk is larger than it is", (), ShortRead, BACKOFF,
        ("{vm}", "_Disk1", "8388608", "12582912"), state={"disk": {"reported_size": 12 << 20}}, first=True),
    Row("size-smaller", "transfer", "the engine says that the disk is smaller than it is",
        state={"disk": {"reported_size": 4 << 20}}, first=True, method="full"),
    Row("ticket-smaller", "transfer", "a ticket for fewer bytes, once",
        (thing("wrong_size", "transfer", "initializing", value=-(1 << 20)),), method="dirty"),
    Row("ticket-smaller-ever", "transfer", "always a ticket for fewer bytes than the disk has",
        (thing("wrong_size", "transfer", "initializing", value=-(1 << 20), **EVER),), ShortRead, BACKOFF,
        ("{vm}", "_Disk1", "7340032", "8388608")),
    Row("imageio-restarts", "transfer", "the daemon restarts and forgets its tickets",
        (thing("restart_imageio", "transfer", "transferring"),), method="dirty"),
    Row("bytes-slow", "transfer", "1 MiB a second", (thing("slow", "backup", "frozen", value=1 << 20),),
        method="dirty"),
    # Giving back.
    Row("end-way-409", "finalize", "the daemon still counts our connections", (call("409", "POST", END_WAY, times=2),),
        method="dirty"),
    Row("end-way-503", "finalize", "a proxy's page", (call("html503", "POST", END_WAY),), method="dirty"),
    Row("end-way-lost", "finalize", "done, and no answer", (call("lose_answer", "POST", END_WAY),), method="dirty"),
    Row("end-forgotten", "finalize", "the engine forgets at once what has ended", engine={"version": "4.4.6"},
        method="dirty"),
    Row("end-409", "finalize", "refused twice", (call("409", "POST", END_BACKUP, times=2),), method="dirty"),
    Row("end-503", "finalize", "a proxy's page, twice", (call("html503", "POST", END_BACKUP, times=2),),
        method="dirty"),
    Row("end-lost", "finalize", "done, and no answer", (call("lose_answer", "POST", END_BACKUP),), method="dirty"),
    Row("end-slow", "finalize", "merging takes its time", (thing("delay", "backup", "finalizing", value=1.5),),
        method="dirty"),
    Row("end-403-ever", "finalize", "the user may not any more: it is the janitor's",
        (call("status", "POST", END_BACKUP, value=403, **EVER),), method="dirty"),
    # Checkpoints.
    Row("checkpoints-503", "checkpoints", "a proxy's page", (call("html503", "GET", "/checkpoints$"),), method="dirty"),
    Row("checkpoints-404", "checkpoints", "the engine tells none",
        (call("status", "GET", "/checkpoints$", value=404, times=2),),
        words=("does not know checkpoint",), method="healed"),
    Row("forget-409", "checkpoints", "an old one cannot go yet", (call("409", "DELETE", "/checkpoints/"),),
        method="dirty"),
    Row("forget-403", "checkpoints", "the user may not remove them",
        (call("status", "DELETE", "/checkpoints/", value=403),), method="dirty"),
    # Engines before 4.4: snapshots.
    Row("old-503", "snapshot", "a proxy's page", (call("html503", "POST", SNAPSHOTS),), engine=OLD, method="healed"),
    Row("old-lost", "snapshot", "done, and no answer", (call("lose_answer", "POST", SNAPSHOTS),), engine=OLD,
        method="healed"),
    Row("old-409", "snapshot", "locked", (call("409", "POST", SNAPSHOTS),), VmBusy, BACKOFF,
        ("{vm}", "making a snapshot"), engine=OLD),
    Row("old-403", "snapshot", "the user may not", (call("status", "POST", SNAPSHOTS, value=403),),
        NotPermitted, NEVER, ("{vm}", "making a snapshot"), engine=OLD),
    Row("old-fails", "snapshot", "it is not made", (thing("failed", "snapshot", "locked"),), PointFailed, BACKOFF,
        ("{vm}", "snapshot"), engine=OLD),
    Row("old-stuck", "snapshot", "it stays locked", (thing("delay", "snapshot", "locked", value=6),),
        WaitedTooLong, BACKOFF, ("{vm}", "snapshot", "still 'locked'"), engine=OLD, site=HASTY),
    Row("old-volumes-503", "snapshot", "a proxy's page", (call("html503", "GET", "/disksnapshots$"),), engine=OLD,
        method="healed"),
    Row("old-way-fails", "snapshot", "a transfer fails once",
        (thing("failed", "transfer", "transferring"),), engine=OLD, method="healed"),
    Row("old-remove-409", "snapshot", "removing is refused twice", (call("409", "DELETE", ONE_SNAPSHOT, times=2),),
        engine=OLD, method="healed"),
    Row("old-remove-lost", "snapshot", "removing is done, and no answer",
        (call("lose_answer", "DELETE", ONE_SNAPSHOT),), engine=OLD, method="healed"),
    Row("old-merge-fails", "snapshot", "merging fails: it is the janitor's", (thing("failed", "snapshot", "merging"),),
        engine=OLD, site=HASTY, method="healed"),
)  # fmt: skip
"""Each is an incremental backup, unless it is the `first` one."""

RESTORES = (
    Row("find-503", "plan", "a proxy's page", (call("html503", "GET", VMS),)),
    Row("cluster-403", "plan", "the user may not see clusters", (call("status", "GET", "/clusters$", value=403),),
        NotPermitted, NEVER, ("dr", "listing clusters")),
    Row("domain-torn", "plan", "half an answer", (call("malformed", "GET", "/storagedomains$"),)),
    # Making disks.
    Row("disk-503", "create disk", "a proxy's page", (call("html503", "POST", "/disks$"),)),
    Row("disk-lost", "create disk", "done, and no answer", (call("lose_answer", "POST", "/disks$"),)),
    Row("disk-dropped", "create disk", "not done, and no answer", (call("drop", "POST", "/disks$"),)),
    Row("disk-403", "create disk", "the user may not", (call("status", "POST", "/disks$", value=403),),
        NotPermitted, NEVER, ("{vm}", "{disk}", "creating the disk")),
    Row("disk-409", "create disk", "low on space, or over a quota",
        (call("409", "POST", "/disks$", detail="[Quota has insufficient storage resources.]"),),
        Conflict, BACKOFF, ("{vm}", "{disk}", "creating the disk", "Quota")),
    Row("disk-400", "create disk", "the engine calls it wrong", (call("status", "POST", "/disks$", value=400),),
        Refused, NEVER, ("{vm}", "{disk}", "creating the disk")),
    Row("disk-stuck", "create disk", "stays locked", (thing("delay", "disk", "locked", value=6),),
        WaitedTooLong, BACKOFF, ("{vm}", "{disk}", "still 'locked'"), site=HASTY),
    Row("disk-fails", "create disk", "becomes illegal", (thing("failed", "disk", "ok"),),
        BadState, BACKOFF, ("{vm}", "{disk}", "illegal")),
    Row("disk-smaller", "create disk", "smaller than ordered",
        (thing("wrong_size", "disk", "ok", value=-65536, **EVER),),
        NotAsOrdered, NEVER, ("{vm}", "{disk}", "asked for disk")),
    Row("disk-larger", "create disk", "rounded up", (thing("wrong_size", "disk", "ok", value=65536),)),
    # Uploading.
    Row("up-503", "upload", "a proxy's page", (call("html503", "POST", WAYS),)),
    Row("up-lost", "upload", "done, and no answer", (call("lose_answer", "POST", WAYS),)),
    Row("up-403", "upload", "the user may not", (call("status", "POST", WAYS, value=403),),
        NotPermitted, NEVER, ("{vm}", "{disk}", "opening a transfer")),
    Row("up-409", "upload", "locked", (call("409", "POST", WAYS),), Conflict, BACKOFF,
        ("{vm}", "{disk}", "opening a transfer")),
    Row("up-paused", "upload", "paused by the engine", (thing("paused", "transfer", "transferring", of=UP),)),
    Row("up-fails", "upload", "fails once, and the engine drops the disk",
        (thing("failed", "transfer", "transferring", of=UP),)),
    Row("up-fails-ever", "upload", "always fails", (thing("failed", "transfer", "transferring", of=UP, **EVER),),
        TransferFailed, BACKOFF, ("{vm}", "{disk}", "transfer")),
    Row("up-smaller", "upload", "takes fewer bytes than the disk has",
        (thing("wrong_size", "transfer", "initializing", of=UP, value=-(1 << 20), **EVER),),
        TargetTooSmall, NEVER, ("{vm}", "{disk}")),
    Row("up-imageio-restarts", "upload", "the daemon restarts and forgets its tickets",
        (thing("restart_imageio", "transfer", "transferring", of=UP),)),
    Row("up-slow", "upload", "2 MiB a second", (thing("slow", "transfer", "served", of=UP, value=2 << 20),)),
    Row("up-end-503", "finalize", "a proxy's page", (call("html503", "POST", END_WAY),)),
    Row("up-end-lost", "finalize", "done, and no answer", (call("lose_answer", "POST", END_WAY),)),
    Row("up-end-409", "finalize", "the daemon still counts our connections", (call("409", "POST", END_WAY, times=2),)),
    Row("up-end-fails", "finalize", "the engine does not accept the disk, once",
        (thing("phase", "transfer", "finished_success", of=UP, value="finished_failure"),)),
    Row("up-end-fails-ever", "finalize", "the engine never accepts the disk",
        (thing("phase", "transfer", "finished_success", of=UP, value="finished_failure", **EVER),),
        BadState, BACKOFF, ("{vm}", "{disk}")),
    # Reading back.
    Row("back-503", "verify", "a proxy's page", (Fault("html503", {"method": "POST", "path": WAYS}, {"skip": 1}),)),
    Row("back-fails", "verify", "fails once", (thing("failed", "transfer", "transferring", of=DOWN),)),
    Row("back-fails-ever", "verify", "always fails", (thing("failed", "transfer", "transferring", of=DOWN, **EVER),),
        TransferFailed, BACKOFF, ("{vm}", "{disk}")),
    Row("back-smaller", "verify", "gives back fewer bytes",
        (thing("wrong_size", "transfer", "initializing", of=DOWN, value=-(1 << 20), **EVER),),
        ShortRead, BACKOFF, ("{vm}", "{disk}")),
    Row("mark-503", "verify", "a proxy's page", (Fault("html503", {"method": "PUT", "path": DISK}, {"skip": 1}),)),
    # The VM.
    Row("vm-503", "create VM", "a proxy's page", (call("html503", "POST", VMS),)),
    Row("vm-lost", "create VM", "done, and no answer", (call("lose_answer", "POST", VMS),)),
    Row("vm-torn", "create VM", "done, and half an answer", (call("malformed", "POST", VMS),)),
    Row("vm-409", "create VM", "refused", (call("409", "POST", VMS, **EVER),), Conflict, BACKOFF,
        ("{vm}", "creating it from its OVF")),
    Row("vm-400", "create VM", "the OVF is called wrong", (call("status", "POST", VMS, value=400),),
        Refused, NEVER, ("{vm}", "creating it from its OVF")),
    Row("vm-403", "create VM", "the user may not", (call("status", "POST", VMS, value=403),),
        NotPermitted, NEVER, ("{vm}", "creating it from its OVF")),
    Row("attach-503", "attach", "a proxy's page", (call("html503", "POST", HUNG),)),
    Row("attach-lost", "attach", "done, and no answer", (call("lose_answer", "POST", HUNG),)),
    Row("attach-409", "attach", "refused", (call("409", "POST", HUNG, **EVER),), Conflict, BACKOFF,
        ("{vm}", "attaching disk")),
    Row("attach-403", "attach", "the user may not", (call("status", "POST", HUNG, value=403),),
        NotPermitted, NEVER, ("{vm}", "attaching disk")),
    Row("hung-torn", "attach", "half a list of disks", (call("malformed", "GET", HUNG),)),
    Row("nic-409", "cards", "locked for a moment", (call("409", "PUT", NICS, times=2),)),
    Row("nic-403", "cards", "the user may not", (call("status", "PUT", NICS, value=403),), NotPermitted, NEVER,
        ("{vm}", "network card")),
    Row("note-lost", "complete", "done, and no answer", (call("lose_answer", "PUT", "/vms/[^/]+$"),)),
    # Starting.
    Row("start-409", "start VM", "no host has room for a moment", (call("409", "POST", "/start$", times=2),),
        rule={"start": True}),
    Row("start-409-ever", "start VM", "no host has room",
        (call("409", "POST", "/start$", detail="[no host has room]", **EVER),), Conflict, BACKOFF,
        ("{vm}", "starting it", "no host has room"), rule={"start": True}),
    Row("start-lost", "start VM", "done, and no answer", (call("lose_answer", "POST", "/start$"),),
        rule={"start": True}),
    Row("start-403", "start VM", "the user may not", (call("status", "POST", "/start$", value=403),),
        NotPermitted, NEVER, ("{vm}", "starting it"), rule={"start": True}),
    Row("start-stuck", "start VM", "never comes up", (thing("delay", "vm", "powering_up", value=6),),
        WaitedTooLong, BACKOFF, ("{vm}", "still"), rule={"start": True, "timeout_s": 2}),
)  # fmt: skip
ROWS = {"looks": LOOKS, "backups": BACKUPS, "restores": RESTORES}
