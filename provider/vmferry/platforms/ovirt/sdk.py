# SPDX-License-Identifier: Apache-2.0
"""The one place that imports oVirt's SDK, so that a missing package is one clear error."""

from __future__ import annotations

from vmferry.engine.errors import ToolMissing

try:
    import ovirtsdk4 as sdk
    from ovirtsdk4 import types
except ImportError as error:
    raise ToolMissing(
        "the Python package ovirt-engine-sdk-python is not installed",
        fix="install airflow-provider-vmferry[ovirt]; building it needs libcurl4-openssl-dev and libxml2-dev",
    ) from error

__all__ = ["sdk", "types"]
