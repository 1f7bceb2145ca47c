"""The calls of the API; importing this package registers all of them."""

from __future__ import annotations

from lab.oci.api import attachments, blocks, compute, identity, images, network, policies, work_requests

__all__ = ["attachments", "blocks", "compute", "identity", "images", "network", "policies", "work_requests"]
