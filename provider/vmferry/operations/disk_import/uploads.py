# SPDX-License-Identifier: Apache-2.0
"""Uploads that nobody has imported yet, and the name of the run that does.

The function that hears of events makes the same names; tests/contract/test_oci_run_id.py holds the two together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

from vmferry.engine.images.inspect import promised_formats
from vmferry.operations.disk_import.ending import IMPORTED
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.policy.imports import ImportPolicy

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.~-]+")
_READABLE = 60


def run_id(ref: ObjectRef) -> str:
    """Name the run that imports one version of an object."""
    exact = hashlib.sha256(json.dumps([ref.namespace, ref.bucket, ref.name, ref.etag]).encode()).hexdigest()[:32]
    readable = _NOT_ALLOWED.sub("-", ref.name.rsplit("/", 1)[-1])[-_READABLE:].strip("-.") or "object"
    return f"import__{readable}__{exact}"


def list_new_uploads(site: OciSite, rule: ImportPolicy) -> Iterator[ObjectRef]:
    """List the images of a bucket that are no volume yet: Airflow may have forgotten its runs, the volumes have not."""
    namespace = rule.namespace or site.namespace()
    done = site.imported_etags((rule.compartment, *rule.allowed_compartments))
    for ref, size_bytes in site.list_uploads(namespace, rule.bucket, rule.prefix):
        base = ref.name.rsplit("/", 1)[-1]
        is_image = "." in base and promised_formats(ref.name) is not None and not ref.name.startswith(IMPORTED)
        if is_image and size_bytes and ref.etag not in done:
            yield ref
