# SPDX-License-Identifier: Apache-2.0
"""The name of a run: the same upload always gives the same, whoever sees it first.

vmferry's own search for lost events makes the same names (tests/contract/test_oci_run_id.py holds the two together).
"""

from __future__ import annotations

import hashlib
import json
import re

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.~-]+")
_READABLE = 60


def run_id(namespace: str, bucket: str, name: str, etag: str) -> str:
    """Name the run that imports one version of an object: readable in front, exact behind."""
    exact = hashlib.sha256(json.dumps([namespace, bucket, name, etag]).encode()).hexdigest()[:32]
    readable = _NOT_ALLOWED.sub("-", name.rsplit("/", 1)[-1])[-_READABLE:].strip("-.") or "object"
    return f"import__{readable}__{exact}"
