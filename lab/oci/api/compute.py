"""Instances: launch, show, change, stop, terminate; shapes; the devices of an instance."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import (
    basics,
    check_etag,
    check_limit,
    create_once,
    demand_state,
    list_things,
    show,
    update_basics,
)
from lab.oci.api.network import add_vnic
from lab.oci.model import REGION_KEY, Step, Thing
from lab.oci.router import CORE, Refusal, Reply, Request, invalid, not_found, route
from lab.oci.schema import check_body
from lab.oci.site import DOMAINS, FAULT_DOMAINS, GB, Site
from lab.oci.work import note_work

SHAPES = {
    "VM.Standard.E4.Flex": (1, 64), "VM.Standard.E5.Flex": (1, 94), "VM.Standard3.Flex": (1, 32),
    "VM.Optimized3.Flex": (1, 18), "VM.Standard.A1.Flex": (1, 80), "VM.Standard2.1": (1, 1), "VM.Standard2.2": (2, 2),
}  # fmt: skip
"""Shape → fewest and most OCPUs."""
MAX_METADATA = 32000
LAUNCH_OPTIONS = {
    "bootVolumeType": "PARAVIRTUALIZED", "networkType": "PARAVIRTUALIZED", "isConsistentVolumeNamingEnabled": True,
}  # fmt: skip
DEVICES = [f"/dev/oracleoci/oraclevd{one}" for one in [*"bcdefghijklmnopqrstuvwxyz", *(f"a{x}" for x in "abcdefg")]]
LIVE = ("PROVISIONING", "STARTING", "RUNNING", "STOPPING", "STOPPED")


@route("POST", f"{CORE}/instances", "instances.manage")
def launch_instance(site: Site, request: Request) -> Reply:
    """Launch one."""
    check_body("LaunchInstanceDetails", request.body)
    instance = create_once(site, request, lambda: _launch(site, request))
    return show(instance, **note_work(site, instance, "LaunchInstance"))


@route("GET", f"{CORE}/instances", "instances.read")
def list_instances(site: Site, request: Request) -> Reply:
    """List those of a compartment."""
    request.need("compartmentId")
    return list_things(site, request, site.inventory.all("instance"))


@route("GET", f"{CORE}/instances/{{}}", "instances.read")
def get_instance(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("instance", id))


@route("PUT", f"{CORE}/instances/{{}}", "instances.manage")
def update_instance(site: Site, request: Request, id: str) -> Reply:
    """Change its name or tags."""
    check_body("UpdateInstanceDetails", request.body)
    instance = site.find("instance", id)
    check_etag(request, instance.etag)
    demand_state(instance, *LIVE)
    update_basics(instance, request.body)
    return show(instance)


@route("POST", f"{CORE}/instances/{{}}", "instances.manage")
def act_on_instance(site: Site, request: Request, id: str) -> Reply:
    """Stop, start or reset one."""
    instance, action = site.find("instance", id), request.need("action")
    check_etag(request, instance.etag)
    if action in ("STOP", "SOFTSTOP"):
        demand_state(instance, "RUNNING")
        instance.enter("STOPPING")
        instance.follow(Step("STOPPED", site.delay("instance.stopping")))
    elif action == "START":
        demand_state(instance, "STOPPED")
        instance.enter("STARTING")
        instance.follow(Step("RUNNING", site.delay("instance.starting")))
    elif action in ("RESET", "SOFTRESET"):
        demand_state(instance, "RUNNING")
        instance.enter("STOPPING")
        instance.follow(Step("STARTING", 0.01), Step("RUNNING", site.delay("instance.starting")))
    else:
        raise invalid(f"action {action} is not known")
    return show(instance)


@route("DELETE", f"{CORE}/instances/{{}}", "instances.manage")
def terminate_instance(site: Site, request: Request, id: str) -> Reply:
    """Terminate one; its boot volume goes too, unless it is to be kept."""
    instance = site.find("instance", id)
    check_etag(request, instance.etag)
    if instance.gone:
        raise not_found()
    instance.hidden["keep_boot"] = request.query.get("preserveBootVolume", "false").lower() == "true"
    terminate(site, instance)
    return Reply(status=204, headers=note_work(site, instance, "TerminateInstance"))


@route("GET", f"{CORE}/instances/{{}}/devices", "instances.read")
def list_instance_devices(site: Site, request: Request, id: str) -> Reply:
    """List the consistent device paths, and which are free."""
    instance = site.find("instance", id)
    rows = [{"name": one, "isAvailable": is_free(site, instance, one)} for one in DEVICES]
    wanted, name = request.query.get("isAvailable"), request.query.get("name")
    rows = [one for one in rows if wanted is None or one["isAvailable"] == (wanted.lower() == "true")]
    return Reply([one for one in rows if name in (None, one["name"])])


@route("GET", f"{CORE}/shapes", "instances.read")
def list_shapes(site: Site, request: Request) -> Reply:
    """List the shapes there are."""
    site.check_compartment(request.need("compartmentId"))
    return Reply([_shape(name, *counts) for name, counts in SHAPES.items()])


def terminate(site: Site, instance: Thing) -> None:
    """Begin an instance's end."""
    if instance.state != "TERMINATING" and not instance.gone:
        instance.enter("TERMINATING")
        instance.follow(Step("TERMINATED", site.delay("instance.terminating")))


def is_free(site: Site, instance: Thing, device: str) -> bool:
    """Tell whether no volume has a device path of an instance."""
    return all(
        one.wire["instanceId"] != instance.id or one.wire.get("device") != device or one.gone
        for one in site.inventory.all("volumeattachment")
    )


def _launch(site: Site, request: Request) -> Thing:
    body = request.body
    image, subnet = _check_launch(site, body)
    check_limit(site, "instance")
    fault_domain = _find_room(site, body["availabilityDomain"], body.get("faultDomain"))
    instance = site.add("instance", {
        **basics(site, request, "instance"), **_shape_of(body), "lifecycleState": "PROVISIONING", "region": REGION_KEY,
        "availabilityDomain": body["availabilityDomain"], "faultDomain": fault_domain, "imageId": image,
        "sourceDetails": body.get("sourceDetails") or {"sourceType": "image", "imageId": image},
        "metadata": body.get("metadata") or {}, "extendedMetadata": body.get("extendedMetadata") or {},
        "launchMode": "PARAVIRTUALIZED", "preemptibleInstanceConfig": body.get("preemptibleInstanceConfig"),
        "agentConfig": body.get("agentConfig"), "availabilityConfig": body.get("availabilityConfig"),
        "launchOptions": body.get("launchOptions") or LAUNCH_OPTIONS,
    })  # fmt: skip
    instance.follow(Step("RUNNING", site.delay("instance.provisioning")))
    add_vnic(site, instance, subnet)
    _add_boot_volume(site, instance)
    return instance


def _check_launch(site: Site, body: dict[str, Any]) -> tuple[str, str]:
    if body["availabilityDomain"] not in DOMAINS:
        raise invalid("Invalid availabilityDomain.")
    if body.get("faultDomain") not in (None, *FAULT_DOMAINS):
        raise invalid(f"Invalid fault domain {body['faultDomain']}")
    if body.get("launchVolumeAttachments"):
        raise Refusal(501, "MethodNotImplemented", "[simulator: launchVolumeAttachments are not there]")
    source = body.get("sourceDetails") or {}
    image = source.get("imageId") or body.get("imageId")
    if not image:
        raise Refusal(400, "MissingParameter", "sourceDetails.imageId must not be null [simulator: images only]")
    demand_state(site.find("image", image), "AVAILABLE")
    if source.get("bootVolumeSizeInGBs") is not None and not 50 <= source["bootVolumeSizeInGBs"] <= 32768:
        raise invalid("bootVolumeSizeInGBs must be between 50 and 32768")
    subnet = (body.get("createVnicDetails") or {}).get("subnetId") or body.get("subnetId")
    if not subnet:
        raise Refusal(400, "MissingParameter", "createVnicDetails.subnetId must not be null")
    if subnet != site.place.subnet:
        raise not_found("subnet")
    if sum(len(key) + len(value) for key, value in (body.get("metadata") or {}).items()) > MAX_METADATA:
        raise invalid(f"metadata size must be at most {MAX_METADATA} bytes")
    return image, subnet


def _shape_of(body: dict[str, Any]) -> dict[str, Any]:
    shape, config = body.get("shape"), body.get("shapeConfig") or {}
    if not shape:
        raise Refusal(400, "MissingParameter", "shape must not be null")
    if shape not in SHAPES:
        raise invalid(f"Shape {shape} is not valid")
    fewest, most = SHAPES[shape]
    cores = float(config.get("ocpus") or fewest)
    if not fewest <= cores <= most:
        raise invalid(f"shapeConfig.ocpus must be between {fewest} and {most} for {shape}")
    memory = float(config.get("memoryInGBs") or cores * 16)
    if not cores <= memory <= cores * 64:
        raise invalid(f"shapeConfig.memoryInGBs must be between {cores:g} and {cores * 64:g} for {cores:g} OCPUs")
    return {"shape": shape, "shapeConfig": {"ocpus": cores, "memoryInGBs": memory, **_config_of(config)}}


def _config_of(config: dict[str, Any]) -> dict[str, Any]:
    return {"baselineOcpuUtilization": config["baselineOcpuUtilization"]} if "baselineOcpuUtilization" in config else {}


def _find_room(site: Site, domain: str, fault_domain: str | None) -> str:
    full: list[str] = site.settings["full"]
    for one in [fault_domain] if fault_domain else FAULT_DOMAINS:
        if domain not in full and f"{domain}/{one}" not in full:
            return one
    raise Refusal(500, "InternalError", "Out of host capacity.")


def _add_boot_volume(site: Site, instance: Thing) -> None:
    size = int(instance.wire["sourceDetails"].get("bootVolumeSizeInGBs") or 50)
    keys = ("availabilityDomain", "compartmentId", "timeCreated", "imageId")
    common = {key: instance.wire[key] for key in keys}
    boot = site.add("bootvolume", {
        **common, "displayName": f"{instance.wire['displayName']} (Boot Volume)", "sizeInGBs": size, "isHydrated": True,
        "sizeInMBs": size * 1024, "vpusPerGB": 10, "lifecycleState": "AVAILABLE", "freeformTags": {},
        "definedTags": instance.wire["definedTags"],
    }, instance=instance.id, bytes=size * GB)  # fmt: skip
    attached = {**common, "displayName": "boot", "bootVolumeId": boot.id, "instanceId": instance.id}
    del attached["imageId"]
    site.add("bootvolumeattachment", {**attached, "lifecycleState": "ATTACHED"})


def _shape(name: str, fewest: int, most: int) -> dict[str, Any]:
    flexible = name.endswith("Flex")
    return {
        "shape": name, "ocpus": float(fewest), "memoryInGBs": fewest * 16.0, "isFlexible": flexible,
        "ocpuOptions": {"min": float(fewest), "max": float(most)} if flexible else None,
        "memoryOptions": {"minInGBs": 1.0, "maxInGBs": most * 64.0} if flexible else None,
    }  # fmt: skip
