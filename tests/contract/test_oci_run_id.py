"""The function and the search for lost events name a run alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from upload_event.identity import run_id as of_event

from vmferry.operations.disk_import.uploads import run_id as of_search
from vmferry.platforms.oci.objects import ObjectRef


@given(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=80)] * 4)
def test_same_name(namespace: str, bucket: str, name: str, etag: str) -> None:
    assert of_event(namespace, bucket, name, etag) == of_search(ObjectRef(namespace, bucket, name, etag))
