"""The object storage: what the SDK puts comes back, whole, in ranges, by parts and by link, if asked rightly."""

from __future__ import annotations

import datetime
import random
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients

pytestmark = pytest.mark.root
models = oci.object_storage.models
DATA = random.Random(4).randbytes(300_000)


@pytest.fixture(scope="module")
def bucket(lab: OciLab) -> str:
    return lab.create_bucket("uploads", events=False)


@pytest.fixture(scope="module")
def objects(clients: Clients) -> Any:
    return clients.objects


def test_put_get_and_head(objects: Any, lab: OciLab, bucket: str) -> None:
    name = "vms/wéb 01+%2F.qcow2"
    put = objects.put_object(lab.namespace, bucket, name, DATA, opc_meta={"ad_number": "2", "Size": "60"})
    head = objects.head_object(lab.namespace, bucket, name)
    assert head.headers["etag"] == put.headers["etag"]
    assert (head.headers["opc-meta-ad_number"], head.headers["opc-meta-size"]) == ("2", "60")
    assert int(head.headers["content-length"]) == len(DATA)
    assert objects.get_object(lab.namespace, bucket, name).data.content == DATA
    objects.delete_object(lab.namespace, bucket, name)
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.head_object(lab.namespace, bucket, name)
    assert failure.value.status == 404


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        pytest.param("bytes=0-0", 0, 1, id="first byte"),
        pytest.param("bytes=100-199", 100, 200, id="middle"),
        pytest.param("bytes=299990-", 299_990, 300_000, id="open end"),
        pytest.param("bytes=-10", 299_990, 300_000, id="last bytes"),
        pytest.param("bytes=299990-400000", 299_990, 300_000, id="beyond the end"),
    ],
)
def test_ranges(objects: Any, lab: OciLab, bucket: str, span: str, start: int, end: int) -> None:
    lab.put_object(bucket, "ranged", DATA)
    found = objects.get_object(lab.namespace, bucket, "ranged", range=span)
    assert (found.status, found.data.content) == (206, DATA[start:end])
    assert found.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


def test_range_behind_the_end(objects: Any, lab: OciLab, bucket: str) -> None:
    lab.put_object(bucket, "ranged", DATA)
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.get_object(lab.namespace, bucket, "ranged", range="bytes=300000-")
    assert failure.value.status == 416


def test_reader_notices_another_version(objects: Any, lab: OciLab, bucket: str) -> None:
    etag = lab.put_object(bucket, "changing", DATA)
    assert objects.get_object(lab.namespace, bucket, "changing", if_match=etag, range="bytes=0-9").status == 206
    lab.fault("change_object", {"method": "GET", "path": "/o/changing"})
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.get_object(lab.namespace, bucket, "changing", if_match=etag, range="bytes=10-19")
    assert (failure.value.status, failure.value.code) == (412, "IfMatchFailed")
    assert objects.get_object(lab.namespace, bucket, "changing").data.content != DATA


def test_create_only_when_absent(objects: Any, lab: OciLab, bucket: str) -> None:
    objects.put_object(lab.namespace, bucket, "once", b"1", if_none_match="*")
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.put_object(lab.namespace, bucket, "once", b"2", if_none_match="*")
    assert (failure.value.status, failure.value.code) == (412, "IfNoneMatchFailed")
    assert objects.get_object(lab.namespace, bucket, "once").data.content == b"1"


def test_wrong_digest_is_refused(objects: Any, lab: OciLab, bucket: str) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.put_object(lab.namespace, bucket, "bad", DATA, content_md5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert (failure.value.status, failure.value.code) == (400, "UnmatchedContentMD5")


@pytest.mark.parametrize("name", ["a\nb", "x" * 1025], ids=["newline", "too long"])
def test_hostile_names_are_refused(objects: Any, lab: OciLab, bucket: str, name: str) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.put_object(lab.namespace, bucket, name, b"1")
    assert (failure.value.status, failure.value.code) == (400, "InvalidObjectName")


def test_list_in_pages(objects: Any, lab: OciLab) -> None:
    bucket = lab.create_bucket("listed", events=False)
    names = ["a/1", "a/2", "b/1", "c", "ä"]
    for name in names:
        lab.put_object(bucket, name, name.encode())
    first = objects.list_objects(lab.namespace, bucket, limit=3, fields="name,size,etag,timeCreated").data
    assert [one.name for one in first.objects] == names[:3]
    assert first.objects[0].size == 3
    assert first.next_start_with == "c"
    rest = objects.list_objects(lab.namespace, bucket, start=first.next_start_with).data
    assert ([one.name for one in rest.objects], rest.next_start_with) == (["c", "ä"], None)
    folders = objects.list_objects(lab.namespace, bucket, delimiter="/").data
    assert (folders.prefixes, [one.name for one in folders.objects]) == (["a/", "b/"], ["c", "ä"])


def test_multipart_by_the_sdk(objects: Any, lab: OciLab, bucket: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(random.Random(5).randbytes(3 << 20))
    manager = oci.object_storage.UploadManager(objects, allow_parallel_uploads=True, parallel_process_count=3)
    done = manager.upload_file(lab.namespace, bucket, "parts", str(path), part_size=1 << 20, metadata={"size": "70"})
    assert done.headers["opc-multipart-md5"].endswith("-3")
    found = objects.get_object(lab.namespace, bucket, "parts")
    assert (found.data.content, found.headers["opc-meta-size"]) == (path.read_bytes(), "70")
    assert objects.list_multipart_uploads(lab.namespace, bucket).data == []


def test_upload_that_was_left(objects: Any, lab: OciLab, bucket: str) -> None:
    details = models.CreateMultipartUploadDetails(object="left")
    id = objects.create_multipart_upload(lab.namespace, bucket, details).data.upload_id
    objects.upload_part(lab.namespace, bucket, "left", id, 1, b"one")
    wrong = models.CommitMultipartUploadPartDetails(part_num=1, etag="other")
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.commit_multipart_upload(lab.namespace, bucket, "left", id,
                                        models.CommitMultipartUploadDetails(parts_to_commit=[wrong]))  # fmt: skip
    assert failure.value.code == "InvalidUploadPart"
    objects.abort_multipart_upload(lab.namespace, bucket, "left", id)
    assert objects.list_multipart_uploads(lab.namespace, bucket).data == []


@pytest.fixture
def fetch(lab: OciLab) -> Callable[..., bytes]:
    """Read a URL as a program does that knows nothing of OCI."""
    context = ssl.create_default_context(cafile=str(lab.ca))

    def get(url: str, **headers: str) -> bytes:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            found: bytes = answer.read()
            return found

    return get


def _link(objects: Any, lab: OciLab, bucket: str, name: str, seconds: float = 600) -> Any:
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    details = models.CreatePreauthenticatedRequestDetails(
        name="test", object_name=name, access_type="ObjectRead", time_expires=expires
    )
    return objects.create_preauthenticated_request(lab.namespace, bucket, details).data


def test_link_reads_one_object(objects: Any, lab: OciLab, bucket: str, fetch: Callable[..., bytes]) -> None:
    name = "vms/linked disk.raw"
    lab.put_object(bucket, name, DATA)
    link = _link(objects, lab, bucket, name)
    url = lab.endpoint + link.access_uri
    assert fetch(url, Range="bytes=5-9") == DATA[5:10]
    with pytest.raises(urllib.error.HTTPError) as failure:
        fetch(url.replace("linked", "other"))
    assert failure.value.code == 404
    failure.value.close()
    objects.delete_preauthenticated_request(lab.namespace, bucket, link.id)
    with pytest.raises(urllib.error.HTTPError) as failure:
        fetch(url)
    failure.value.close()


def test_link_of_the_past_is_refused(objects: Any, lab: OciLab, bucket: str) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        _link(objects, lab, bucket, "any", seconds=-5)
    assert failure.value.status == 400


def test_bucket_with_objects_stays(objects: Any, lab: OciLab, bucket: str) -> None:
    lab.put_object(bucket, "any", b"1")
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.delete_bucket(lab.namespace, bucket)
    assert (failure.value.status, failure.value.code) == (409, "BucketNotEmpty")


def test_refused_upload_is_told_why(objects: Any, lab: OciLab, bucket: str) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        objects.put_object(lab.namespace, bucket, "none", DATA * 20, if_match="nothing")
    assert (failure.value.status, failure.value.code) == (412, "IfMatchFailed")
