"""The calls of the API; importing this package registers all of them."""

from __future__ import annotations

from lab.oci.api import (
    attachments,
    blocks,
    buckets,
    compute,
    identity,
    images,
    links,
    network,
    objects,
    policies,
    secrets,
    uploads,
    work_requests,
)

__all__ = [
    "attachments",
    "blocks",
    "buckets",
    "compute",
    "identity",
    "images",
    "links",
    "network",
    "objects",
    "policies",
    "secrets",
    "uploads",
    "work_requests",
]
