"""The hooks of the lab, which no real cloud has: POST /_sim/NAME with JSON. README.md lists them."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lab.oci.api.attachments import detach
from lab.oci.api.buckets import add_bucket
from lab.oci.api.compute import terminate
from lab.oci.clock import force
from lab.oci.contents import change, path_of, store, take_file
from lab.oci.guests import GuestError
from lab.oci.lives import plug_volume
from lab.oci.model import REGION, Thing, new_id, timestamp
from lab.oci.principals import new_key, private_pem
from lab.oci.router import Refusal
from lab.oci.signature import Principal
from lab.oci.site import Site

Hook = Callable[..., Any]
H = TypeVar("H", bound=Hook)
HOOKS: dict[str, Hook] = {}


def hook(function: H) -> H:
    """Let a function answer the hook of its name."""
    HOOKS[function.__name__.removeprefix("do_")] = function
    return function


def answer_hook(site: Site, name: str, body: bytes) -> tuple[int, Any]:
    """Answer one."""
    if name not in HOOKS:
        return 404, {"error": f"no such hook: {name}; there are {', '.join(sorted(HOOKS))}"}
    try:
        answer = HOOKS[name](site, **(json.loads(body) if body.strip() else {}))
        site.save()
    except (Refusal, ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        traceback.print_exc()
        return 400, {"error": f"{type(error).__name__}: {error}"}
    return 200, {} if answer is None else answer


@hook
def do_settings(site: Site, **values: Any) -> dict[str, Any]:
    """Change settings; SETTINGS in site.py names them."""
    unknown = sorted(set(values) - set(site.settings))
    if unknown:
        raise ValueError(f"no such setting: {unknown[0]}; there are {', '.join(sorted(site.settings))}")
    with site.lock:
        site.settings.update(values)
        return dict(site.settings)


@hook
def do_fault(site: Site, **rule: Any) -> None:
    """Let something go wrong; see faults.py."""
    site.faults.add(rule)


@hook
def do_faults(site: Site, clear: bool = False) -> list[dict[str, Any]]:
    """List the faults, or forget them."""
    if clear:
        site.faults.clear()
    return site.faults.list()


@hook
def do_log(site: Site, clear: bool = False) -> list[dict[str, Any]]:
    """List all calls of the API."""
    found = list(site.calls)
    if clear:
        site.calls.clear()
    return found


@hook
def do_state(site: Site) -> dict[str, Any]:
    """Tell what there is: per kind, all things with what the API shows of them."""
    with site.lock:
        found: dict[str, Any] = {}
        for one in site.inventory.things.values():
            found.setdefault(one.kind, {})[one.id] = one.wire
        return found


@hook
def do_instances(site: Site) -> list[dict[str, Any]]:
    """Tell about the machines: address, port, processes, cloud-init, where their boot volumes lie."""
    with site.lock:
        things = list(site.inventory.all("instance"))
    return [_machine(site, one) for one in things]


@hook
def do_volume(site: Site, id: str) -> dict[str, Any]:
    """Tell where a volume's bytes lie."""
    kind = "bootvolume" if ".bootvolume." in id else "volume"
    return {"path": str(site.volume_path(site.find(kind, id)))}


@hook
def do_bucket(site: Site, name: str, events: bool = True, compartment: str | None = None) -> None:
    """Make a bucket, unless it is there."""
    with site.lock:
        home = compartment or next(iter(site.place.compartments.values()))
        if name not in site.inventory.buckets:
            add_bucket(site, {"name": name, "compartmentId": home, "objectEventsEnabled": events})


@hook
def do_put_object(site: Site, bucket: str, name: str, path: str, metadata: dict[str, str]) -> dict[str, Any]:
    """Store a file of this machine as an object, as an upload would; its event is sent."""
    headers = {f"opc-meta-{key}": value for key, value in metadata.items()}
    content = take_file(site, Path(path))
    with site.lock:
        made = store(site, bucket, name, content, {"content-type": "application/octet-stream", **headers})
    return {"etag": made["etag"]}


@hook
def do_object(site: Site, bucket: str, name: str) -> dict[str, Any]:
    """Tell what an object is, and where its bytes lie."""
    with site.lock:
        found = site.inventory.objects[bucket][name]
        return {**found, "path": str(path_of(site, found))}


@hook
def do_change_object(site: Site, bucket: str, name: str) -> None:
    """Overwrite an object with other bytes of the same length."""
    change(site, bucket, name)


@hook
def do_secret(site: Site, name: str, content: str) -> dict[str, str]:
    """Put a secret into the vault; returns its OCID."""
    with site.lock:
        id = new_id("vaultsecret")
        site.settings["secrets"][id] = {"name": name, "content": content, "time": timestamp()}
        return {"id": id}


@hook
def do_resource_principal(site: Site, id: str, compartment: str | None = None) -> dict[str, str]:
    """Make the environment that makes a process a function (or another resource) of the tenancy."""
    key = new_key()
    home = compartment or next(iter(site.place.compartments.values()))
    claims = {"res_tenant": site.place.tenancy, "res_compartment": home, "res_type": "fnfunc", "res_id": id}
    life = float(site.settings["resource_session_seconds"])
    token = site.principals.issue_token(Principal("resource", id), key.public_key(), life, **claims)
    return {
        "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_RESOURCE_PRINCIPAL_REGION": REGION,
        "OCI_RESOURCE_PRINCIPAL_RPST": token, "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": private_pem(key).decode(),
    }  # fmt: skip


@hook
def do_events(site: Site) -> list[dict[str, Any]]:
    """List the events, how often each was tried, and what came of it: pending, delivered, dead."""
    with site.lock:
        return list(site.inventory.deliveries)


@hook
def do_send_event(site: Site, event: dict[str, Any]) -> None:
    """Deliver an event once more, or one that nobody has seen before."""
    site.events.send(event)


@hook
def do_terminate(site: Site, id: str) -> None:
    """Terminate an instance as the platform does with one that is preemptible: nobody asked for it."""
    with site.lock:
        terminate(site, site.find("instance", id))


@hook
def do_set_state(site: Site, id: str, state: str) -> None:
    """Force a thing into a state (a volume into FAULTY) and leave it there."""
    force(site, site.inventory.things[id], state)


@hook
def do_detach(site: Site, id: str) -> None:
    """Detach a volume under us."""
    with site.lock:
        detach(site, site.find("volumeattachment", id))


@hook
def do_iscsi_login(site: Site, id: str) -> None:
    """Log in to an iSCSI attachment, as somebody in the instance does with iscsiadm."""
    attachment = site.find("volumeattachment", id)
    if attachment.state != "ATTACHED" or attachment.wire["attachmentType"] != "iscsi":
        raise ValueError(f"{id} is no iSCSI attachment that is ATTACHED")
    attachment.hidden["logged_in"] = True
    plug_volume(site, attachment)


@hook
def do_release(site: Site, id: str) -> None:
    """Let a thing go on that a fault `stuck` held."""
    with site.lock:
        site.inventory.things[id].due = time.time()


@hook
def do_freeze(site: Site, id: str, seconds: float) -> None:
    """Cut an instance off for a while; what runs in it goes on running."""
    site.guests[id].ask({"do": "freeze", "seconds": seconds})


@hook
def do_kill_sshd(site: Site, id: str) -> dict[str, Any]:
    """Kill -9 every sshd of an instance; it starts again after delay guest.sshd_restart."""
    return site.guests[id].ask({"do": "kill_sshd"})


@hook
def do_crash(site: Site, id: str) -> None:
    """Kill -9 an instance as a whole; the API goes on saying RUNNING, as it does for a crashed system."""
    site.guests[id].kill()


@hook
def do_cut(site: Site, seconds: float, hangs: bool = False) -> None:
    """Cut the network to the API: connections end (or hang), and nobody answers for a while."""
    with site.lock:
        site.settings.update(cut_until=time.time() + seconds, cut_hangs=hangs)
        site.cuts += 1


def _machine(site: Site, instance: Thing) -> dict[str, Any]:
    guest = site.guests.get(instance.id)
    vnics = [one for one in site.inventory.all("vnic") if one.hidden["instance"] == instance.id]
    try:
        pid = guest.init_pid if guest and guest.is_running else None
        status = guest.cloud_init_status() if guest and pid else "not running"
    except GuestError:
        pid, status = None, "not running"
    return {
        "id": instance.id, "name": instance.wire["displayName"], "state": instance.state,
        "address": vnics[0].wire["privateIp"], "port": site.place.ssh_port, "pid": pid, "cloud_init": status,
        "directory": str(site.instance_directory(instance)),
    }  # fmt: skip
