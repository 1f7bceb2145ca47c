# SPDX-License-Identifier: Apache-2.0
"""Looks into a disk as a guest would: partition tables and file systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmferry.vault.catalogue import Link


def check_structure(links: Sequence[Link]) -> Iterator[str]:
    """Say what is missing for a disk that could hold a system."""
    yield from ()
