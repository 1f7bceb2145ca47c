# SPDX-License-Identifier: Apache-2.0
"""What of a server cannot be moved, and why: pure functions of its facts, one for each kind of thing."""

from __future__ import annotations

from collections.abc import Iterator

from vmferry.platforms.openstack.facts import Obstacle, PortFacts, ServerFacts, VolumeFacts

_MOVABLE = frozenset({"active", "shutoff"})
_USABLE_VOLUME = frozenset({"in-use", "available"})
_HARDWARE_SPECS = {
    "pci_passthrough:alias": "it has a piece of its host's hardware",
    "resources:VGPU": "it has a part of its host's graphics card",
    "hw:tpm_version": "its TPM holds keys that nobody can read out",
    "hw:mem_encryption": "its memory is encrypted by its host",
}


def list_obstacles(server: ServerFacts) -> tuple[Obstacle, ...]:
    """Name all that cannot be moved."""
    found = [*_of_state(server), *_of_flavor(server)]
    for volume in server.volumes:
        found += _of_volume(server, volume)
    for port in server.ports:
        found += _of_port(port)
    return (*found, *_of_addresses(server))


def _of_state(server: ServerFacts) -> Iterator[Obstacle]:
    if server.status not in _MOVABLE:
        fix = "bring it to ACTIVE or SHUTOFF first"
        yield Obstacle("the server", f"its state is {server.status.upper()}", fix)
    if server.locked:
        yield Obstacle("the server", "it is locked: nobody may stop it or take volumes off", "unlock it")
    if not server.image_id and not any(volume.boots for volume in server.volumes):
        fix = "is the volume it boots from attached, and may this user see it?"
        yield Obstacle("the server", "it has neither an image nor a volume that it boots from", fix)


def _of_flavor(server: ServerFacts) -> Iterator[Obstacle]:
    name = f"flavor {server.flavor.name}"
    if server.flavor.ephemeral_gib:
        reason = f"{server.flavor.ephemeral_gib} GiB of ephemeral disk, which no service can read"
        yield Obstacle(name, reason, "move what is on it to a volume; the new server gets an empty one", stops=False)
    if server.flavor.swap_mib:
        reason = f"{server.flavor.swap_mib} MiB of swap disk are not copied"
        yield Obstacle(name, reason, "nothing is lost: the new server has its own", stops=False)
    for spec, reason in _HARDWARE_SPECS.items():
        if spec in server.flavor.extra_specs:
            yield Obstacle(name, f"{reason} ({spec})", "resize it to a flavor without that, or set it up anew")


def _of_volume(server: ServerFacts, volume: VolumeFacts) -> Iterator[Obstacle]:
    name = f"volume {volume.name or volume.id}"
    others = [one for one in volume.attached_to if one != server.id]
    if volume.encrypted:
        fix = "copy it to a volume of a type without encryption"
        yield Obstacle(name, "it is encrypted: its key stays in this cloud's barbican", fix)
    if others:
        fix = "detach it there, or move those servers together by hand"
        yield Obstacle(name, f"server {others[0]} has it too, and may write while it is copied", fix)
    elif volume.multiattach:
        yield Obstacle(
            name, "its type is multiattach: the new volume is an ordinary one", "check its type", stops=False
        )
    if volume.status not in _USABLE_VOLUME:
        yield Obstacle(name, f"its state is {volume.status!r}", "wait, or let an admin reset its state")


def _of_port(port: PortFacts) -> Iterator[Obstacle]:
    name = f"port {port.name or port.id}"
    if port.kind != "normal":
        reason = f"it is of kind {port.kind!r}, bound to hardware"
        yield Obstacle(
            name, reason, "the new server gets an ordinary port: check that its guest can use that", stops=False
        )
    if port.is_trunk:
        yield Obstacle(name, "it is the parent of a trunk", "make the trunk at the destination by hand", stops=False)


def _of_addresses(server: ServerFacts) -> Iterator[Obstacle]:
    for address in server.floating_addresses:
        fix = "associate a floating address at the destination; DNS names have to follow"
        yield Obstacle(f"floating address {address}", "it belongs to this cloud", fix, stops=False)
