"""Events of Object Storage: which mean an upload, and what the others get."""

from __future__ import annotations

import json
from typing import Any

import pytest
from upload_event.errors import BadEvent
from upload_event.event import Upload, read_event


def event(**changes: Any) -> bytes:
    details = {"namespace": "ns", "bucketName": "uploads", "archivalState": "Available", "eTag": "e1"}
    details.update(changes.pop("details", {}))
    whole = {
        "eventType": "com.oraclecloud.objectstorage.createobject",
        "cloudEventsVersion": "0.1",
        "data": {"resourceName": "vms/web 01.qcow2", "additionalDetails": details},
    }
    return json.dumps({**whole, **changes}).encode()


@pytest.mark.parametrize("kind", ["createobject", "updateobject"])
def test_upload(kind: str) -> None:
    found = read_event(event(eventType=f"com.oraclecloud.objectstorage.{kind}"))
    assert found == Upload("ns", "uploads", "vms/web 01.qcow2")


@pytest.mark.parametrize(
    "body",
    [
        event(eventType="com.oraclecloud.objectstorage.deleteobject"),
        event(eventType="com.oraclecloud.objectstorage.createbucket"),
        event(details={"archivalState": "Archived"}),
    ],
    ids=["deleted", "a bucket", "archived"],
)
def test_no_upload(body: bytes) -> None:
    assert read_event(body) is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[1]", "no JSON object"),
        (event(eventType="com.oraclecloud.computeapi.launchinstance.begin"), "computeapi"),
        (event(eventType=7), "7"),
        (event(data=None), "additionalDetails"),
        (event(data={"resourceName": "x"}), "additionalDetails"),
        (event(details={"namespace": ""}), "namespace"),
        (event(details={"bucketName": None}), "bucketName"),
        (event(data={"additionalDetails": {"namespace": "n", "bucketName": "b"}}), "resourceName"),
    ],
    ids=[
        "empty",
        "no text",
        "list",
        "compute",
        "number",
        "no data",
        "no details",
        "no namespace",
        "no bucket",
        "no name",
    ],
)
def test_nonsense(body: bytes, named: str) -> None:
    with pytest.raises(BadEvent, match=named):
        read_event(body)
