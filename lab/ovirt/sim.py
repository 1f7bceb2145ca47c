"""The hooks of the lab, which no real engine has: POST /_sim/NAME with JSON. README.md lists them."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from lab.ovirt.engine import Engine
from lab.ovirt.faults import Rule
from lab.ovirt.flows.backups import fail_backup
from lab.ovirt.flows.disks import used_bytes
from lab.ovirt.flows.transfers import is_open
from lab.ovirt.model import Domain, Named, User, new_id
from lab.ovirt.qmp import QmpError
from lab.ovirt.router import Refusal
from lab.ovirt.setting_up import add_many_vms, add_vm
from lab.ovirt.sso import Tokens
from lab.ovirt.storage import StorageError
from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints import open_target

Hook = Callable[..., Any]
H = TypeVar("H", bound=Hook)
HOOKS: dict[str, Hook] = {}
_UNLOCKED = ("write", "write_many", "read", "copy", "vm", "imageio", "crash")
"""Those that may take long, or ask the host's agent: they lock by themselves."""


def hook(function: H) -> H:
    """Let a function answer the hook of its name."""
    HOOKS[function.__name__.removeprefix("do_")] = function
    return function


def answer_hook(engine: Engine, tokens: Tokens, name: str, body: bytes) -> tuple[int, Any]:
    """Answer one."""
    if name == "tokens":
        return 200, {"valid": tokens.count}
    if name == "secrets":
        return 200, {"tokens": tokens.issued, "tickets": engine.tickets.issued}
    if name == "expire_tokens":
        tokens.forget_all()
        return 200, {}
    if name not in HOOKS:
        return 404, {"error": f"no such hook: {name}; there are {', '.join(sorted(HOOKS))}"}
    try:
        arguments = json.loads(body) if body.strip() else {}
        lock = contextlib.nullcontext() if name in _UNLOCKED else engine.lock
        with lock:
            answer = HOOKS[name](engine, **arguments)
            engine.save()
    except (Refusal, ValueError, TypeError, KeyError, QmpError, StorageError, RuntimeError) as error:
        traceback.print_exc()
        return 400, {"error": f"{type(error).__name__}: {error}"}
    return 200, {} if answer is None else answer


@hook
def do_vm(engine: Engine, **wish: Any) -> dict[str, Any]:
    """Make a VM with disks, nics, tags; see `add_vm`."""
    vm = add_vm(engine, wish)
    with engine.lock:
        if vm.status == "up" and not wish.get("lazy"):
            engine.machine(vm).ensure(engine.plugged(vm))
        urls = {disk.id: engine.machine(vm).guest_url(disk) for disk in engine.plugged(vm)}
        return {"id": vm.id, "name": vm.name, "disks": [one.disk for one in vm.attachments], "guest_urls": urls}


@hook
def do_vms(engine: Engine, count: int, prefix: str = "vm", size: int = 1 << 30) -> dict[str, Any]:
    """Make many VMs whose disks have no file until someone looks."""
    return {"ids": add_many_vms(engine, count, prefix, size)}


@hook
def do_write(engine: Engine, disk: str, offset: int, **what: Any) -> dict[str, Any]:
    """Write as the guest: `data` (base64), or `pattern` and `length`, or `zero` and `length`."""
    return do_write_many(engine, disk, [{"offset": offset, **what}])


@hook
def do_write_many(engine: Engine, disk: str, writes: list[dict[str, Any]]) -> dict[str, Any]:
    """Write in many places, then flush."""
    with contextlib.closing(open_target(EndpointSpec("nbd", _guest_url(engine, disk)), 0)) as target:
        connection = target.connect()
        written = sum(_write(connection, one) for one in writes)
        connection.flush()
        connection.close()
    return {"written": written}


@hook
def do_copy(engine: Engine, disk: str, path: str) -> None:
    """Copy what a disk holds now, as its guest sees it, into a raw file."""
    one = engine.disk(disk)
    vm = engine.inventory.vm_of(disk)
    if vm is not None and one in engine.plugged(vm) and engine.machine(vm).is_running:
        source = engine.machine(vm).guest_url(one)
        _run("qemu-img", "convert", "-f", "raw", "-O", "raw", source, path)
    else:
        engine.storage.create(one)
        node = engine.storage.node(one, len(one.layers) - 1, share=True)
        _run("qemu-img", "convert", "-U", "-O", "raw", "json:" + json.dumps(node), path)


@hook
def do_paths(engine: Engine, disk: str) -> dict[str, Any]:
    """Tell where a disk's volumes lie, the lowest first."""
    one = engine.disk(disk)
    return {"paths": [str(engine.storage.path(one, layer)) for layer in one.layers]}


@hook
def do_settings(engine: Engine, **values: Any) -> dict[str, Any]:
    """Change settings: version, delay, delays, token_seconds, critical_space, tolerate_silent_imageio ..."""
    unknown = set(values) - set(engine.inventory.settings)
    if unknown:
        raise ValueError(f"no such setting: {', '.join(unknown)}")
    engine.inventory.settings.update(values)
    return dict(engine.inventory.settings)


@hook
def do_fault(engine: Engine, **rule: Any) -> None:
    """Let something go wrong; see faults.py. Without a match it happens now, if it is about the host."""
    if not rule.get("match") and rule.get("action") in ("kill_imageio", "restart_imageio"):
        engine.act(Rule(rule["action"]))
        return
    engine.faults.add(rule)


@hook
def do_faults(engine: Engine, clear: bool = False) -> list[dict[str, Any]]:
    """List the faults, or forget them."""
    if clear:
        engine.faults.clear()
    return engine.faults.list()


@hook
def do_log(engine: Engine, clear: bool = False) -> list[dict[str, Any]]:
    """List all calls of the API."""
    found = list(engine.calls)
    if clear:
        engine.calls.clear()
    return found


@hook
def do_state(engine: Engine) -> dict[str, Any]:
    """Tell what is there, and what was left over."""
    inventory = engine.inventory
    transfers = [one for one in inventory.transfers.values() if is_open(one)]
    backups = [one for one in inventory.backups.values() if one.phase not in ("succeeded", "failed")]
    attached = {one.disk for vm in inventory.vms.values() for one in vm.attachments}
    return {
        "vms": {vm.id: {"name": vm.name, "status": vm.status, "disks": [one.disk for one in vm.attachments],
                        "checkpoints": [one.id for one in vm.checkpoints],
                        "snapshots": [one.id for one in vm.snapshots]} for vm in inventory.vms.values()},
        "disks": {one.id: {"name": one.name, "status": one.status, "size": one.size, "layers": len(one.layers),
                           "domain": one.domain, "description": one.description} for one in inventory.disks.values()},
        "transfers": {one.id: {"disk": one.disk, "backup": one.backup, "direction": one.direction}
                      for one in inventory.transfers.values()},
        "open_backups": {one.id: one.phase for one in backups},
        "open_transfers": {one.id: one.phase for one in transfers},
        "locked_disks": [one.id for one in inventory.disks.values() if one.status == "locked"],
        "illegal_disks": [one.id for one in inventory.disks.values() if one.status == "illegal"],
        "floating_disks": [one for one in inventory.disks if one not in attached],
        "snapshots": [one.id for vm in inventory.vms.values() for one in vm.snapshots],
        "used": {one.name: used_bytes(engine, one.id) for one in inventory.domains.values()},
    }  # fmt: skip


@hook
def do_user(engine: Engine, name: str, password: str, permits: list[str], vms: list[str] | None = None) -> None:
    """Add a user; permits are read, backup, image, disk, vm, run, snapshot, or *; vms: the only ones that are seen."""
    engine.inventory.users[name] = User(name, password, permits, vms)


@hook
def do_domain(engine: Engine, name: str, **facts: Any) -> dict[str, Any]:
    """Add a storage domain or change one: size, quota, status, storage."""
    found = next((one for one in engine.inventory.domains.values() if one.name == name), None)
    if found is None:
        found = Domain(new_id(), name, int(facts.get("size", 1 << 40)))
        engine.inventory.domains[found.id] = found
    for key, value in facts.items():
        if key not in ("size", "quota", "status", "storage", "type"):
            raise ValueError(f"a storage domain has no {key}")
        setattr(found, key, value)
    return {"id": found.id}


@hook
def do_network(engine: Engine, name: str, profile: str | None = None) -> dict[str, Any]:
    """Add a network with one vnic profile."""
    center = next(iter(engine.inventory.datacenters), None)
    network = Named(new_id(), name, center, "operational")
    made = Named(new_id(), profile or name, network.id)
    engine.inventory.networks[network.id] = network
    engine.inventory.profiles[made.id] = made
    return {"network": network.id, "profile": made.id}


@hook
def do_cluster(engine: Engine, name: str) -> dict[str, Any]:
    """Add a cluster."""
    made = Named(new_id(), name, next(iter(engine.inventory.datacenters), None))
    engine.inventory.clusters[made.id] = made
    return {"id": made.id}


@hook
def do_set_vm(engine: Engine, vm: str, **facts: Any) -> None:
    """Put a VM into a state by force: status (paused, migrating ...), locked, agent, fqdn, ips, delete_protected."""
    one = engine.vm(vm)
    for key, value in facts.items():
        if key not in ("status", "locked", "agent", "fqdn", "ips", "delete_protected"):
            raise ValueError(f"a VM has no {key}")
        setattr(one, key, value)


@hook
def do_set_disk(engine: Engine, disk: str, **facts: Any) -> None:
    """Put a disk into a state by force: status, broken_bitmaps (true: incrementals fail), reported_size, domain."""
    one = engine.disk(disk)
    for key, value in facts.items():
        if key not in ("status", "broken_bitmaps", "reported_size", "domain"):
            raise ValueError(f"a disk has no {key}")
        setattr(one, key, value)


@hook
def do_drop_bitmap(engine: Engine, disk: str, checkpoint: str) -> None:
    """Delete a checkpoint's real bitmap behind the engine's back: the next incremental from it finds none."""
    vm = engine.inventory.vm_of(disk)
    if vm is None:
        raise ValueError("the disk is on no VM")
    engine.machine(vm).ensure(engine.plugged(vm))
    engine.machine(vm).remove_bitmap([engine.disk(disk)], checkpoint)


@hook
def do_crash(engine: Engine, vm: str) -> None:
    """Kill -9 the VM's qemu, as a host that loses power does: its bitmaps are inconsistent from then on."""
    one = engine.vm(vm)
    engine.machine(one).stop(kill=True)
    with engine.lock:
        one.status, one.agent, one.host = "down", False, None
        backup = engine.active_backup(vm)
    if backup is not None:
        fail_backup(engine, backup, "the VM crashed")


@hook
def do_imageio(engine: Engine, action: str) -> dict[str, Any]:
    """Let the imageio daemon `kill`, `start` or `restart`; its tickets are gone then."""
    return engine.agent.ask("imageio", action=action)


def _guest_url(engine: Engine, disk: str) -> str:
    with engine.lock:
        vm = engine.inventory.vm_of(disk)
        if vm is None or engine.disk(disk) not in engine.plugged(vm):
            raise ValueError("no VM has that disk plugged in")
        if vm.status not in ("up", "paused", "migrating"):
            raise ValueError(f"VM {vm.name} is {vm.status}: its guest writes nothing")
        disks = engine.plugged(vm)
    engine.machine(vm).ensure(disks)
    return engine.machine(vm).guest_url(engine.disk(disk))


def _write(connection: Connection, one: dict[str, Any]) -> int:
    offset, length = int(one["offset"]), int(one.get("length", 0))
    if one.get("zero"):
        connection.zero(offset, length)
        return length
    data = base64.b64decode(one["data"]) if "data" in one else bytes([int(one["pattern"])]) * length
    connection.write(offset, memoryview(data))
    return len(data)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"{command[0]} {command[1]} failed: {done.stderr.strip()}")


__all__ = ["answer_hook"]
