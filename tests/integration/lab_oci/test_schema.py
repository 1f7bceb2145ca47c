"""The lab's idea of requests and answers is the SDK's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab.oci.lab import OciLab
from lab.oci.schema import models
from scripts import oci_schema
from tests.integration.lab_oci.clients import Clients

KINDS = {
    "instance": "Instance", "volume": "Volume", "bootvolume": "BootVolume", "vnic": "Vnic", "image": "Image",
    "vnicattachment": "VnicAttachment", "bootvolumeattachment": "BootVolumeAttachment",
    "volumebackuppolicyassignment": "VolumeBackupPolicyAssignment",
}  # fmt: skip


def test_schema_is_that_of_the_installed_sdk() -> None:
    written = json.loads((Path(oci_schema.OUTPUT)).read_text())
    assert written == oci_schema.read_models(), "run: python scripts/oci_schema.py"


@pytest.mark.root
def test_what_is_shown_is_what_the_sdk_reads(lab: OciLab, worker: str, clients: Clients) -> None:
    volume = clients.volume()
    seen = set()
    for kind, things in lab.state().items():
        for wire in things.values():
            _check_answer(KINDS.get(kind) or _attachment_model(wire), wire)
            seen.add(kind)
    assert {"instance", "volume", "bootvolume", "vnic", "image"} <= seen
    clients.blocks.delete_volume(volume.id)


def _attachment_model(wire: dict[str, Any]) -> str:
    names: dict[str, str] = models()["VolumeAttachment"]["subtypes"]["names"]
    return names[wire["attachmentType"]]


def _check_answer(model: str, wire: dict[str, Any]) -> None:
    known = models()[model]
    assert set(wire) <= set(known["fields"]), model
    missing = [
        name for name in known["required"] if wire.get(name) is None and (model, name) != ("Image", "compartmentId")
    ]
    assert missing == [], model
