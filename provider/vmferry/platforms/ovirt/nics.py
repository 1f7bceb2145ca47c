# SPDX-License-Identifier: Apache-2.0
"""Network cards of a restored VM: each on the network it was mapped to, and off unless somebody asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmferry.platforms.errors import NotAsOrdered, NotThere
from vmferry.platforms.orders import VmRef, VmSpec
from vmferry.platforms.ovirt.inventory import profile_names
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import ident

_KEEP = object()


def set_nics(session: Session, vm: VmRef, spec: VmSpec) -> None:
    """Set each card; raises `NotAsOrdered` when one is on although it was to be off."""
    profiles = profile_names(session)
    for card in _list(session, vm):
        wanted = _wanted(session, vm, card, spec, profiles)
        if wanted is not None:
            _update(session, vm, card, wanted)
    _check(session, vm, spec)


def map_network(network: str | None, networks: Mapping[str, str | None]) -> str | None:
    """Say which network at the target stands for one at the source; the same name where nothing is said."""
    if network is None:
        return None
    if network in networks:
        return networks[network]
    return networks.get("*", network)


def _wanted(
    session: Session, vm: VmRef, card: Any, spec: VmSpec, profiles: Mapping[str, tuple[str | None, str | None]]
) -> Any | None:
    """Build what the card should become; None when it is that already."""
    now = profiles.get(ident(card.vnic_profile) or "", (None, None))[1]
    source = spec.nics.get(card.name, now)
    network = map_network(source, spec.networks)
    profile = _find_profile(session, vm, card.name, network, profiles, spec) if network != now else _KEEP
    on = spec.connect and network is not None
    change = types.Nic(linked=on, plugged=on)
    if profile is not _KEEP:
        # An empty profile takes the card off every network.
        change.vnic_profile = types.VnicProfile(id=profile)
    same = (card.plugged is not False) == on and (card.linked is not False) == on
    return None if same and profile is _KEEP else change


def _find_profile(
    session: Session, vm: VmRef, card: str, network: str | None,
    profiles: Mapping[str, tuple[str | None, str | None]], spec: VmSpec,
) -> object:  # fmt: skip
    if network is None:
        return ""
    found = next((profile_id for profile_id, (_, on) in profiles.items() if on == network), None)
    if found is None and network in spec.networks.values():
        raise NotThere(
            f"site {session.site}: network {network!r} for card {card} of VM {vm.name!r} is not there",
            fix='correct "networks" in the policy; null leaves the card without one',
        )
    # A network nobody mapped and that the target does not have: the card stays without one.
    return found or ""


def _list(session: Session, vm: VmRef) -> list[Any]:
    found: list[Any] = session.ask(
        f"VM {vm.name!r}: listing its network cards",
        lambda api: api.vms_service().vm_service(vm.id).nics_service().list(),
    )
    return found


def _update(session: Session, vm: VmRef, card: Any, change: Any) -> None:
    session.insist(
        f"VM {vm.name!r}: setting network card {card.name}",
        lambda api: api.vms_service().vm_service(vm.id).nics_service().nic_service(card.id).update(change),
    )


def _check(session: Session, vm: VmRef, spec: VmSpec) -> None:
    if spec.connect:
        return
    on = [card.name for card in _list(session, vm) if card.plugged is not False and card.linked is not False]
    if on:
        raise NotAsOrdered(
            f"VM {vm.name!r}: network card {', '.join(on)} is on, although it was to be off",
            fix="do not start the VM; unplug the card at the engine",
        )
