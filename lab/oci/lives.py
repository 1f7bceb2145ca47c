"""What really happens when a thing enters a state: machines boot and die, files appear, volumes come and go."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from lab.oci.api.network import set_vnic_state, vnic_of
from lab.oci.api.policies import forget_assignments
from lab.oci.clock import enter, on_entry
from lab.oci.guests import Guest, GuestWish
from lab.oci.model import Thing

if TYPE_CHECKING:
    from lab.oci.site import Site


@on_entry("instance", "RUNNING")
def boot_instance(site: Site, instance: Thing) -> None:
    """Let the machine come up, with the volumes that are attached to it."""
    guest = Guest(_wish(site, instance))
    with site.lock:
        site.guests[instance.id] = guest
        set_vnic_state(site, instance.id, "ATTACHED", "AVAILABLE")
        mine = [one for one in site.inventory.all("volumeattachment") if one.wire["instanceId"] == instance.id]
    for attachment in [one for one in mine if one.state == "ATTACHED"]:
        plug_volume(site, attachment)


@on_entry("instance", "STOPPED")
@on_entry("instance", "STARTING")
def halt_instance(site: Site, instance: Thing) -> None:
    """End the machine; its disks stay."""
    with site.lock:
        guest = site.guests.pop(instance.id, None)
    if guest is not None:
        guest.kill()


@on_entry("instance", "TERMINATED")
def end_instance(site: Site, instance: Thing) -> None:
    """End the machine and its boot volume; data volumes stay."""
    halt_instance(site, instance)
    shutil.rmtree(site.instance_directory(instance), ignore_errors=True)
    with site.lock:
        set_vnic_state(site, instance.id, "DETACHED", "TERMINATED")
        for one in site.inventory.all("volumeattachment"):
            if one.wire["instanceId"] == instance.id and not one.gone:
                one.follow()
                enter(one, "DETACHED")
        _end_boot_volume(site, instance)


@on_entry("volume", "AVAILABLE")
@on_entry("bootvolume", "AVAILABLE")
def make_file(site: Site, volume: Thing) -> None:
    """Give a volume its bytes: zeros, or another volume's."""
    path = site.volume_path(volume)
    path.parent.mkdir(exist_ok=True)
    source = site.inventory.things.get(volume.hidden.get("source") or "")
    if source is not None and site.volume_path(source).exists():
        argv = ["cp", "--sparse=always", "--reflink=auto", str(site.volume_path(source)), str(path)]
        subprocess.run(argv, check=True, capture_output=True)
    with path.open("ab") as file:
        file.truncate(volume.hidden["bytes"])


@on_entry("volume", "TERMINATED")
@on_entry("bootvolume", "TERMINATED")
def remove_file(site: Site, volume: Thing) -> None:
    """Take its bytes away."""
    site.volume_path(volume).unlink(missing_ok=True)
    with site.lock:
        forget_assignments(site, volume)


@on_entry("volumeattachment", "ATTACHED")
def plug_volume(site: Site, attachment: Thing) -> None:
    """Let the volume appear in its instance. One over iSCSI does so once somebody logs in, the agent or a person."""
    iscsi = attachment.wire["attachmentType"] == "iscsi"
    if iscsi and not attachment.wire["isAgentAutoIscsiLoginEnabled"] and not attachment.hidden.get("logged_in"):
        return
    with site.lock:
        guest = site.guests.get(attachment.wire["instanceId"])
        path = site.volume_path(site.inventory.things[attachment.wire["volumeId"]])
    if guest is not None and guest.is_running:
        guest.attach(attachment.id, path, attachment.wire["device"] or "", read_only=attachment.wire["isReadOnly"])
    if iscsi:
        attachment.wire["iscsiLoginState"] = "LOGIN_SUCCEEDED"


@on_entry("bootvolumeattachment", "DETACHED")
def free_boot_volume(site: Site, attachment: Thing) -> None:
    """Let a boot volume be a volume like others."""
    make_file(site, site.inventory.things[attachment.wire["bootVolumeId"]])


@on_entry("volumeattachment", "DETACHED")
def unplug_volume(site: Site, attachment: Thing) -> None:
    """Let it vanish."""
    with site.lock:
        guest = site.guests.get(attachment.wire["instanceId"])
    if guest is not None and guest.is_running:
        guest.detach(attachment.id)


def _end_boot_volume(site: Site, instance: Thing) -> None:
    for one in site.inventory.all("bootvolumeattachment"):
        if one.wire["instanceId"] == instance.id and not one.gone:
            enter(one, "DETACHED")
            boot = site.inventory.things[one.wire["bootVolumeId"]]
            if instance.hidden.get("keep_boot"):
                make_file(site, boot)
            else:
                enter(boot, "TERMINATED")


def _wish(site: Site, instance: Thing) -> GuestWish:
    with site.lock:
        vnic = vnic_of(site, instance.id)
        assert vnic
        metadata: dict[str, str] = instance.wire["metadata"]
        hostname = re.sub(r"[^a-z0-9-]+", "-", str(instance.wire["displayName"]).lower())[:60].strip("-")
        return GuestWish(
            directory=site.instance_directory(instance), hostname=hostname or "instance",
            address=vnic.wire["privateIp"], port=site.place.ssh_port, user_data=metadata.get("user_data", ""),
            authorized_keys=metadata.get("ssh_authorized_keys", "").splitlines(), boot_delay=site.delay("guest.boot"),
            cloud_init_delay=site.delay("guest.cloud_init"),
            cloud_init_error=str(site.settings["cloud_init_error"]),
            sshd_restart_delay=site.delay("guest.sshd_restart"), env=site.guest_environment(instance),
            authority=site.place.authority.read_text(),
        )  # fmt: skip
