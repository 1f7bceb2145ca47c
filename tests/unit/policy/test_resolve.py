"""What holds for a VM: defaults, sites, tags, patterns, exceptions; and DAG ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.policy.errors import UnknownVm
from vmferry.policy.load import read_text
from vmferry.policy.models.policy import Policy
from vmferry.policy.names import assign_dag_ids, identifier
from vmferry.policy.patterns import matches, overlap
from vmferry.policy.resolve import resolve, resolve_one
from vmferry.policy.vm import VmFacts, VmPolicy


def make(**raw: Any) -> Policy:
    sites = {
        "a": {"type": "ovirt", "connection": "a", "queue": "qa", "max_rate": "9MiB"},
        "b": {"type": "ovirt", "connection": "b", "pool": "pb", "defaults": {"retries": 7}},
    }
    reading = read_text(json.dumps({"sites": sites, "defaults": {"site": "a"}, **raw}))
    assert reading.policy is not None, [str(one) for one in reading.findings]
    return reading.policy


def kept(days: int) -> dict[str, Any]:
    return {"retention": {"keep_daily": days}}


def test_the_more_exact_wins_whatever_the_order() -> None:
    policy = make(
        defaults={"site": "a", "retention": {"keep_daily": 1, "keep_weekly": 9}},
        vms_config={
            "web-prod-1": kept(6),
            "web-prod-*": kept(5),
            "web-*": kept(4),
            "*": kept(3),
            "tag:gold": {**kept(2), "rpo": "1d"},
        },
    )
    gold = frozenset({"gold"})
    facts = [VmFacts(name, "a", gold) for name in ("web-prod-1", "web-prod-2", "web-3", "db")]
    vms = {vm.name: vm for vm in resolve(policy, [*facts, VmFacts("other", "a")])}
    assert {name: vm.retention.keep_daily for name, vm in vms.items()} == {
        "web-prod-1": 6, "web-prod-2": 5, "web-3": 4, "db": 3, "other": 3,
    }  # fmt: skip
    assert {vm.retention.keep_weekly for vm in vms.values()} == {9}
    assert (vms["web-prod-1"].rpo_s, vms["other"].rpo_s) == (86400, None)
    assert (vms["web-3"].key, vms["web-prod-1"].key) == ("web-*", "web-prod-1")


def test_equally_exact_patterns_the_later_wins() -> None:
    policy = make(vms_config={"web-*": kept(1), "*-dev": kept(2)})
    assert resolve_one(policy, "web-dev", [VmFacts("web-dev", "a")]).retention.keep_daily == 2


def test_sites_give_defaults_and_places() -> None:
    policy = make(
        limits={"bandwidth": [{"from": "08:00", "to": "18:00", "rate": "1MiB", "site": "b"}]},
        vms_config={"x": {}, "y": {"site": "b"}, "z": {"site": "b", "name": "x", "pool": "own", "retries": 1}},
    )
    vms = {vm.key: vm for vm in resolve(policy)}
    assert [vms[key].name for key in "xyz"] == ["x", "y", "x"]
    assert [vms[key].placement.pool for key in "xyz"] == ["vmferry_a", "pb", "own"]
    assert [vms[key].placement.retries for key in "xyz"] == [2, 7, 1]
    assert [vms[key].placement.queue for key in "xyz"] == ["qa", None, None]
    assert vms["y"].placement.throttle_control() == {
        "bytes_per_s": None,
        "windows": [{"from": "08:00", "to": "18:00", "bytes_per_s": 1 << 20}],
    }
    assert [vms[key].dag_id for key in "xyz"] == ["backup_x", "backup_y", "backup_z"]


def test_disabled_and_unknown_vms_are_not_there() -> None:
    policy = make(vms_config={"web-*": {}, "web-7": {"enabled": False}, "old-*": {"enabled": False}})
    facts = [VmFacts(name, "a") for name in ("web-1", "web-7", "old-1", "else")]
    assert [vm.name for vm in resolve(policy, facts)] == ["web-1"]
    with pytest.raises(UnknownVm, match="'web-7'"):
        resolve_one(policy, "web-7", facts)


def test_json_round_trip() -> None:
    policy = make(
        vms_config={
            "máquina 'x'": {
                "schedule": {"type": "simple", "pattern": "biweekly"},
                "backup_window": {"start": "22:00", "end": "03:00"},
                "restore": {"networks": {"*": None}},
                "disks": {"exclude": ["*swap*"]},
            }
        },
        limits={"bandwidth": [{"from": "08:00", "to": "18:00", "rate": 0}]},
        notifications=[
            {"events": ["failure"], "type": "smtp", "connection": "mail", "to": ["ops"], "repeat_after": "1h"},
            {"events": ["success"], "type": "slack", "connection": "chat", "vms": ["db-*"]},
        ],
    )
    (vm,) = resolve(policy)
    assert VmPolicy.from_json(json.loads(json.dumps(vm.to_json()))) == vm
    assert vm.dag_id == "backup_m_quina__x_"
    assert [(one.connection, one.repeat_after_s) for one in vm.notices] == [("mail", 3600)]


def test_dag_ids_are_the_ancestors_and_differ() -> None:
    assert identifier("Web-01.prod") == "web_01_prod"
    assert identifier("01") == "vm_01"
    made = assign_dag_ids(["web-1", "web_1", "WEB 1", "db"])
    assert made["web_1"] == "backup_web_1"
    assert made["db"] == "backup_db"
    assert len(set(made.values())) == 4
    assert assign_dag_ids(["web_1", "web-1"])["web-1"] == made["web-1"]


@given(st.lists(st.text(min_size=1, max_size=300), unique=True, max_size=12))
def test_dag_ids_are_always_valid_and_never_shared(names: list[str]) -> None:
    made = assign_dag_ids(names)
    assert len(set(made.values())) == len(names)
    assert all(one.isascii() and one.replace("_", "a").isalnum() and len(one) < 250 for one in made.values())


@given(st.text("ab*?", max_size=6), st.text("ab*?", max_size=6), st.text("ab", max_size=6))
def test_patterns_that_share_a_name_overlap(one: str, other: str, name: str) -> None:
    if matches(one, name) and matches(other, name):
        assert overlap(one, other)
    assert overlap(one, other) == overlap(other, one)
    assert not overlap("a" + one, "b" + other)
