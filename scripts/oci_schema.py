"""Writes lab/oci/schema.json anew: which fields a request to OCI may and must have, read from the installed `oci` SDK.

The simulator checks bodies with it and starts in a moment; to import the SDK itself takes seconds.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parent.parent / "lab" / "oci" / "schema.json"
MODELS = {
    "oci.core.models": [
        *("LaunchInstanceDetails", "UpdateInstanceDetails", "AttachVolumeDetails", "UpdateVolumeAttachmentDetails"),
        *("CreateVolumeDetails", "UpdateVolumeDetails", "CreateBootVolumeDetails", "UpdateBootVolumeDetails"),
        *("CreateVolumeBackupPolicyAssignmentDetails", "CreateImageDetails", "UpdateImageDetails"),
        *("Instance", "Volume", "BootVolume", "VolumeAttachment", "VnicAttachment", "Vnic", "Image", "Shape", "Subnet"),
        *("Device", "VolumeBackupPolicy", "VolumeBackupPolicyAssignment", "BootVolumeAttachment", "Vcn"),
    ],
    "oci.identity.models": ["AvailabilityDomain", "FaultDomain", "Compartment", "Tenancy", "RegionSubscription"],
    "oci.object_storage.models": [
        *("CreateBucketDetails", "UpdateBucketDetails", "CreateMultipartUploadDetails", "CommitMultipartUploadDetails"),
        *("CreatePreauthenticatedRequestDetails", "RenameObjectDetails", "CopyObjectDetails"),
        *("Bucket", "BucketSummary", "ListObjects", "ObjectSummary", "MultipartUpload", "MultipartUploadPartSummary"),
        *("PreauthenticatedRequest", "PreauthenticatedRequestSummary"),
    ],
    "oci.secrets.models": ["SecretBundle"],
    "oci.work_requests.models": ["WorkRequest", "WorkRequestError", "WorkRequestLogEntry"],
}  # fmt: skip
_NAME = re.compile(r"[A-Z]\w+")


def read_models() -> dict[str, Any]:
    """Describe the models above and all that they hold."""
    found: dict[str, Any] = {}
    for module_name, names in MODELS.items():
        module = importlib.import_module(module_name)
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found or not hasattr(module, name):
                continue
            found[name] = _describe(getattr(module, name))
            waiting += _mentioned(found[name])
    return dict(sorted(found.items()))


def _describe(kind: Any) -> dict[str, Any]:
    model = kind()
    fields, required, choices = {}, [], {}
    for attribute, wire_name in sorted(model.attribute_map.items()):
        text = getattr(kind, attribute).__doc__ or ""
        fields[wire_name] = model.swagger_types[attribute]
        if "**[Required]**" in text:
            required.append(wire_name)
        allowed = re.search(r"Allowed values for this property are: ([^\n]*)", text)
        if allowed:
            choices[wire_name] = re.findall(r'"([^"]+)"', allowed.group(1))
    found: dict[str, Any] = {"fields": fields, "required": required}
    if choices:
        found["choices"] = choices
    if hasattr(kind, "get_subtype"):
        found["subtypes"] = _subtypes(inspect.getsource(kind.get_subtype))
    return found


def _subtypes(source: str) -> dict[str, Any]:
    names = re.findall(r"== '([^']+)':\s+return '([^']+)'", source)
    match = re.search(r"object_dictionary\['([^']+)'\]", source)
    assert match
    return {"field": match.group(1), "names": dict(names)}


def _mentioned(model: dict[str, Any]) -> list[str]:
    mentioned = [name for kind in model["fields"].values() for name in _NAME.findall(kind)]
    return mentioned + list(model.get("subtypes", {"names": {}})["names"].values())


def main() -> None:
    """Write the file."""
    OUTPUT.write_text(json.dumps(read_models(), indent=1) + "\n")
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
