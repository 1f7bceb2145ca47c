# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy``: what should happen, checked and foretold before anything does."""

from __future__ import annotations

from vmferry.cli.policy.group import policy

__all__ = ["policy"]
