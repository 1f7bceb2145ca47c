# SPDX-License-Identifier: Apache-2.0
"""Which VM goes into which rendered file.

Airflow parses a file anew when it changes, and a task start parses the file it lives in: so files are small, and adding
or removing a VM must not move the others about. VMs of a site are told apart by the bits of a hash of their DAG id: a
group that is too large is split by the next bit. So a VM's file depends on its own id and on how full its group is.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmferry.policy.errors import PolicyError
from vmferry.policy.names import assign_identifiers
from vmferry.policy.vm import VmPolicy


@dataclass(frozen=True, slots=True)
class Shard:
    """The VMs of one file."""

    filename: str
    site: str
    vms: tuple[VmPolicy, ...]


def cut_shards(vms: Iterable[VmPolicy], shard_size: int) -> tuple[Shard, ...]:
    """Divide VMs into files of at most `shard_size`, in the order of file names."""
    by_site: dict[str, list[VmPolicy]] = {}
    vms = list(vms)
    _refuse_twins(vms)
    prefixes = assign_identifiers({vm.site for vm in vms})
    for vm in sorted(vms, key=lambda one: one.dag_id):
        by_site.setdefault(vm.site, []).append(vm)
    shards: list[Shard] = []
    for site, members in by_site.items():
        for bits, group in _split(members, "", shard_size):
            name = group[0].dag_id if shard_size == 1 else f"backups_{prefixes[site]}{'_' if bits else ''}{bits}"
            shards.append(Shard(f"{name}.py", site, tuple(group)))
    return tuple(sorted(shards, key=lambda one: one.filename))


def split_shared(vms: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Say what most VMs of a file have in common, and of each VM what it has differently.

    Airflow stores the whole file once for each DAG in it: with all of every VM, 5 000 VMs took 400 MB of its database.
    """
    shared = {}
    for key in vms[0] if vms else ():
        texts = [json.dumps(vm[key], sort_keys=True) for vm in vms]
        text, count = Counter(texts).most_common(1)[0]
        if count > 1:
            shared[key] = vms[texts.index(text)][key]
    own = [{key: vm[key] for key in vm if key not in shared or vm[key] != shared[key]} for vm in vms]
    return shared, own


def _split(vms: Sequence[VmPolicy], bits: str, shard_size: int) -> Iterator[tuple[str, list[VmPolicy]]]:
    if len(vms) <= shard_size:
        yield bits, list(vms)
        return
    for bit in "01":
        group = [vm for vm in vms if _bits(vm.dag_id)[len(bits)] == bit]
        if group:
            yield from _split(group, bits + bit, shard_size)


def _refuse_twins(vms: Sequence[VmPolicy]) -> None:
    owners: dict[str, VmPolicy] = {}
    for vm in vms:
        other = owners.setdefault(vm.dag_id, vm)
        if other is not vm:
            message = f"{vm.name!r} at {vm.site!r} and {other.name!r} at {other.site!r} are both {vm.dag_id!r}"
            raise PolicyError(message, fix='set "dag_id" of one of them')


def _bits(dag_id: str) -> str:
    return f"{int.from_bytes(hashlib.sha256(dag_id.encode()).digest(), 'big'):0256b}"
