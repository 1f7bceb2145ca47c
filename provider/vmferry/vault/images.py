# SPDX-License-Identifier: Apache-2.0
"""A backup's disk as a source of bytes: its whole chain, read-only, at its exact size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.endpoints.sized import Sized
from vmferry.vault.catalogue import Link


def image_spec(links: Sequence[Link]) -> EndpointSpec:
    """Say where the guest-visible bytes of the newest of these layers are.

    The backing files are trusted: each name was compared with point.json before.
    """
    return EndpointSpec("image", str(links[-1].image), "qcow2", {"backing": "trust"})


@contextmanager
def open_backup_disk(links: Sequence[Link]) -> Iterator[Endpoint]:
    """Open what a guest would see."""
    endpoint = open_source(image_spec(links))
    try:
        yield Sized(endpoint, links[-1].disk.size_bytes)
    finally:
        endpoint.close()


def proof_paths(links: Sequence[Link]) -> tuple[str, ...]:
    """List the proofs of a chain, oldest first."""
    return tuple(str(link.proof) for link in links)
