"""Runs every row of `fault_rows`: how the import ends, what is said, what is left, whether the next one is right."""

from __future__ import annotations

import random

import pytest
from tests.integration.oci.conftest import Region
from tests.integration.oci.fault_rows import ROWS, Row

from vmferry.operations.disk_import.whole import import_disk
from vmferry.platforms.oci.naming import ROOT
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.platforms.runs import RunId
from vmferry.policy.imports import ImportPolicy

pytestmark = pytest.mark.timeout(400)
CONTENT = random.Random(6).randbytes(300_000) + bytes(200_000)


def rule(region: Region, row: Row) -> ImportPolicy:
    place = {"compartment": region.lab.compartment, "subnet": region.lab.subnet, "image": region.lab.image}
    return ImportPolicy("uploads", "oci", "uploads", fs_check="skip", **place, **row.rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_fault(region: Region, owner: RunId, row: Row) -> None:
    lab = region.lab
    name = f"disk{ROWS.index(row)}.raw"
    bucket, etag = lab.create_bucket("uploads", events=False), lab.put_object("uploads", name, CONTENT)
    ref = ObjectRef(lab.namespace, bucket, name, etag)
    lab.settings(**row.settings)
    for one in row.faults:
        lab.fault(one.action, dict(one.match), **one.more)
    with region.site(conflict_s=5.0, **row.site) as site:
        if row.error is None:
            require_right(region, import_disk(site, rule(region, row), ref, owner)["volume"])
        else:
            with pytest.raises(row.error, match=row.words) as caught:
                import_disk(site, rule(region, row), ref, owner)
            assert row.retry in (None, caught.value.retry)
            assert caught.value.fix
    assert all(one["used"] for one in lab.hook("faults")), "the row breaks nothing"
    lab.hook("faults", clear=True)
    lab.settings(full=[], limits={}, cloud_init_error="")
    require_given_back(region, owner)
    with region.site() as site:
        again = RunId.of(owner.text, "again")
        etag = lab.put_object("uploads", name, CONTENT)
        done = import_disk(site, rule(region, Row("none")), ObjectRef(ref.namespace, ref.bucket, name, etag), again)
    require_right(region, done["volume"])


def require_right(region: Region, volume: str) -> None:
    with region.lab.volume_path(volume).open("rb") as opened:
        assert opened.read(len(CONTENT)) == CONTENT


def require_given_back(region: Region, owner: RunId) -> None:
    """No worker, no attachment, and no volume but one whose bytes are proven."""
    state = region.lab.state()
    assert not [one for one in state.get("instance", {}).values() if one["lifecycleState"] != "TERMINATED"]
    attached = [one for one in state.get("volumeattachment", {}).values() if one["lifecycleState"] != "DETACHED"]
    assert not attached
    ours = [one for one in state.get("volume", {}).values() if owner.tag() in str(one["freeformTags"].get("vmferry"))]
    living = [one for one in ours if one["lifecycleState"] != "TERMINATED"]
    assert not [one for one in living if not one["freeformTags"].get(ROOT)]
