# SPDX-License-Identifier: Apache-2.0
"""``vmferry site``: whether a site can be worked with, and what dead runs left there."""

from __future__ import annotations

from vmferry.cli.site.group import site

__all__ = ["site"]
