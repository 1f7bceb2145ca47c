# SPDX-License-Identifier: Apache-2.0
"""DAG ids: the ancestor's ``backup_<vm>``, and what happens when two VMs would get the same one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_MAX_LETTERS = 180
"""Airflow allows 250; room for a suffix and for ids made from it."""


def identifier(name: str) -> str:
    """Make letters, digits and _ of a VM's name, as the ancestor did: ``Web-01`` becomes ``web_01``."""
    made = re.sub(r"[^a-zA-Z0-9_]", "_", name).lower()
    made = f"vm_{made}" if made[:1].isdigit() else made
    return made if len(made) <= _MAX_LETTERS else f"{made[:_MAX_LETTERS]}_{_digest(name)}"


def assign_dag_ids(keys: Iterable[str]) -> dict[str, str]:
    """Give each key of ``vms_config`` (or VM name) its DAG id."""
    return {key: f"backup_{one}" for key, one in assign_identifiers(keys).items()}


def assign_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Give each name an identifier of its own.

    Of several names with one identifier the one that is spelled like it keeps the plain one, else the first in order of
    the alphabet; the others get a suffix that depends on nothing but their own name.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(identifier(name), []).append(name)
    made: dict[str, str] = {}
    for plain, members in groups.items():
        members.sort(key=lambda name: (name != plain, name))
        made[members[0]] = plain
        made.update({name: f"{plain}_{_digest(name)}" for name in members[1:]})
    return made


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
