"""Which buckets a site has, by the rules of imports."""

from __future__ import annotations

import json

from vmferry.policy.imports import list_buckets
from vmferry.policy.load import read_text


def test_buckets_of_rules_that_are_switched_off_are_looked_after_too() -> None:
    rules = {
        "a": {"site": "oci", "bucket": "uploads"},
        "b": {"site": "oci", "bucket": "uploads", "prefix": "x/"},
        "c": {"site": "oci", "bucket": "old", "namespace": "ns", "enabled": False},
        "d": {"site": "other", "bucket": "theirs"},
    }
    sites = {name: {"type": "oci", "connection": f"vmferry_{name}"} for name in ("oci", "other")}
    policy = read_text(json.dumps({"backup_directory": "/vault", "sites": sites, "imports": rules})).policy
    assert policy is not None
    assert list_buckets(policy, "oci") == ["ns/old", "uploads"]
    assert list_buckets(policy, "ovirt") == []
