"""The OCI driver against the simulated region: made once, found again, given back."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import oci
import pytest
from tests.integration.oci.conftest import Region

from vmferry.engine.errors import BadInput, TrustError
from vmferry.operations import sweep
from vmferry.platforms.contract import Leases
from vmferry.platforms.errors import BadState, LoginRefused, NoRoom, NotSupported, NotThere, SiteAway
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.failures import NoCapacity, ObjectChanged
from vmferry.platforms.oci.naming import COMPLETE, ROOT
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.platforms.oci.volumes import VolumeSpec, size_for
from vmferry.platforms.oci.waits import WorkerLost
from vmferry.platforms.orders import Removal
from vmferry.platforms.runs import RunId

HOUR = timedelta(hours=1)


def volume_spec(region: Region, domain: str = "", **more: object) -> VolumeSpec:
    return VolumeSpec("web01", region.lab.compartment, domain or region.lab.domains[0], 50, **more)  # type: ignore[arg-type]


def test_check(site: OciSite) -> None:
    assert isinstance(site, Leases)
    assert "labnamespace" in site.check().name


def test_wrong_key(region: Region) -> None:
    with region.site(fingerprint=":".join(["00"] * 16)) as stranger, pytest.raises(LoginRefused, match="fingerprint"):
        stranger.check()


def test_unknown_authority(region: Region) -> None:
    with region.site(ca_file=None) as site, pytest.raises(TrustError, match="ca_file"):
        site.check()


def test_site_away(region: Region) -> None:
    nowhere = dict.fromkeys(region.settings.endpoints, "https://127.0.0.1:1")
    with region.site(endpoints=nowhere, outage_s=0) as site, pytest.raises(SiteAway):
        site.check()


def test_worker_is_made_once(region: Region, site: OciSite, owner: RunId) -> None:
    first = site.ensure_worker(region.worker_spec(), owner)
    assert site.ensure_worker(region.worker_spec(), owner) == first
    assert first.host_key.startswith("ssh-ed25519 ")
    assert site.private_address(first).startswith("127.")
    assert [lease.id for lease in site.leases() if lease.owner == owner.text] == [first.id]
    assert site.end_worker(first)
    assert not site.end_worker(first)
    assert site.find_worker(region.lab.compartment, owner) is None


def test_another_worker_after_a_lost_one(region: Region, site: OciSite, owner: RunId) -> None:
    first = site.ensure_worker(region.worker_spec(), owner)
    site.end_worker(first)
    second = site.ensure_worker(region.worker_spec(), owner)
    assert second.id != first.id
    site.end_worker(second)


def test_stopped_worker_is_replaced(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.fault("phase", {"kind": "instance", "state": "RUNNING"}, value="STOPPED")
    with pytest.raises(WorkerLost, match="STOPPED"):
        site.ensure_worker(region.worker_spec(), owner)
    site.end_worker(site.ensure_worker(region.worker_spec(), owner))
    assert not [lease for lease in site.leases() if lease.owner == owner.text]


def test_full_fault_domain_goes_on_to_the_next(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.settings(full=[f"{region.lab.domains[0]}/{name}" for name in region.lab.fault_domains])
    made = site.ensure_worker(region.worker_spec(), owner)
    assert made.domain != region.lab.domains[0]
    site.end_worker(made)


def test_full_and_pinned(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.settings(full=[f"{region.lab.domains[0]}/{name}" for name in region.lab.fault_domains])
    with pytest.raises(NoCapacity, match=region.lab.domains[0]):
        site.ensure_worker(region.worker_spec(domain=region.lab.domains[0]), owner)
    assert not [lease for lease in site.leases() if lease.owner == owner.text]


@pytest.mark.parametrize(("number", "fix"), [(4, "1 to 3"), (-1, "1 to 3")])
def test_no_such_domain(region: Region, site: OciSite, number: int, fix: str) -> None:
    with pytest.raises(BadInput, match=fix):
        site.pick_domain(region.lab.compartment, number, where="object 'a.raw'")


def test_domains_by_number(region: Region, site: OciSite) -> None:
    found = [site.pick_domain(region.lab.compartment, number, where="x") for number in range(4)]
    assert found == [None, *region.lab.domains]


def test_volume_is_made_once(region: Region, site: OciSite, owner: RunId) -> None:
    spec = volume_spec(region, tags={"team": "web", "vmferry": "liar", "": "x", "long": "y" * 300})
    first = site.ensure_volume(spec, owner)
    assert site.ensure_volume(spec, owner).id == first.id
    assert first.tags["team"] == "web"
    assert first.tags["vmferry"] == owner.tag()
    assert site.remove_volume(first, owner) is Removal.REMOVED
    assert site.remove_volume(first, owner) is Removal.NOTHING


def test_faulty_volume_is_replaced(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.fault("phase", {"kind": "volume", "state": "AVAILABLE"}, value="FAULTY")
    with pytest.raises(BadState, match="FAULTY"):
        site.ensure_volume(volume_spec(region), owner)
    made = site.ensure_volume(volume_spec(region), owner)
    assert made.state in ("PROVISIONING", "AVAILABLE")
    site.remove_volume(made, owner)
    assert not [lease for lease in site.leases() if lease.owner == owner.text]


def test_verified_volume_stays(region: Region, site: OciSite, owner: RunId) -> None:
    made = site.mark_verified(site.ensure_volume(volume_spec(region), owner), owner, "ab" * 32, {"vmferry-fs": "clean"})
    assert made.tags[ROOT] == "ab" * 32
    assert site.remove_volume(made, owner) is Removal.KEPT
    [lease] = [lease for lease in site.leases() if lease.id == made.id]
    assert lease.holds_verified_bytes
    with pytest.raises(NotSupported, match="person"):
        site.release(lease)
    done = site.mark(made, owner, "verified", COMPLETE, more={})
    assert done.tags["vmferry-fs"] == "clean"
    assert made.id not in [lease.id for lease in site.leases()]


def test_performance_and_policy(region: Region, site: OciSite, owner: RunId) -> None:
    made = site.ensure_volume(volume_spec(region), owner)
    assert site.set_performance(made, 10).vpus_per_gb == 10
    policy = site.set_backup_policy(made, "Silver", region.lab.compartment)
    assert site.set_backup_policy(made, policy, region.lab.compartment) == policy
    with pytest.raises(NotThere, match="gold, silver, bronze"):
        site.set_backup_policy(made, "platinum", region.lab.compartment)
    site.remove_volume(made, owner)


def test_attach_and_detach(region: Region, site: OciSite, owner: RunId) -> None:
    worker = site.ensure_worker(region.worker_spec(), owner)
    volume = site.ensure_volume(volume_spec(region, worker.domain), owner)
    begun = site.attach(worker, volume, owner)
    attached = site.wait_attached(site.attach(worker, volume, owner), volume)
    assert attached.id == begun.id
    assert attached.device.startswith("/dev/oracleoci/oraclevd")
    assert site.detach(worker, volume)
    assert not site.detach(worker, volume)
    again = site.wait_attached(site.attach(worker, volume, owner), volume)
    assert again.id != begun.id
    for lease in [lease for lease in site.leases() if lease.owner == owner.text]:
        site.release(lease)
    assert not [lease for lease in site.leases() if lease.owner == owner.text]


def test_limit_reached(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.settings(limits={"volume": 0})
    with pytest.raises(NoRoom, match="limit"):
        site.ensure_volume(volume_spec(region), owner)


def test_object(region: Region, site: OciSite, owner: RunId) -> None:
    region.lab.create_bucket("looked-at")
    etag = region.lab.put_object("looked-at", "a b.raw", b"hello", {"ad_number": "2"})
    ref = ObjectRef(region.lab.namespace, "looked-at", "a b.raw", "")
    facts = site.look(ref)
    assert (facts.size_bytes, facts.metadata["ad_number"], facts.ref.etag) == (5, "2", etag)
    with pytest.raises(ObjectChanged):
        site.look(ObjectRef(ref.namespace, ref.bucket, ref.name, "other"))
    with pytest.raises(NotThere, match="not there"):
        site.look(ObjectRef(ref.namespace, ref.bucket, "c.raw", ""))
    assert [(one.name, size) for one, size in site.list_uploads(ref.namespace, "looked-at", "a")] == [("a b.raw", 5)]
    assert len({site.open_way(facts.ref, owner, hours=1) for _ in range(2)}) == 2
    assert site.close_ways(facts.ref, owner) == 2
    assert site.close_ways(facts.ref, owner) == 0
    for _ in range(2):
        site.rename_object(facts.ref, "imported/a b.raw")
    assert [one.name for one, _ in site.list_uploads(ref.namespace, "looked-at")] == ["imported/a b.raw"]


@pytest.mark.parametrize(
    ("size_bytes", "gb"), [(1, 50), (50 << 30, 50), ((50 << 30) + 1, 51), (1 << 40, 1024)], ids=str
)
def test_size(size_bytes: int, gb: int) -> None:
    assert size_for(size_bytes) == gb


def test_janitor_gives_back_what_a_dead_run_left(region: Region, site: OciSite, owner: RunId) -> None:
    alive = RunId.of("oci_disk_import", "alive")
    worker = site.ensure_worker(region.worker_spec(), owner)
    volume = site.ensure_volume(volume_spec(region, worker.domain), owner)
    site.wait_attached(site.attach(worker, volume, owner), volume)
    kept = site.ensure_volume(volume_spec(region), alive)
    done = sweep(site, lambda name: name == owner.text)
    assert (len(done["released"]), done["failed"]) == (2, [])
    assert [lease.id for lease in site.leases() if lease.owner in (owner.text, alive.text)] == [kept.id]
    site.remove_volume(kept, alive)


def test_janitor_closes_the_ways_of_dead_runs_alone(region: Region, owner: RunId) -> None:
    bucket, alive = region.lab.create_bucket("ways", events=False), RunId.of("oci_disk_import", "alive")
    ref = ObjectRef(region.lab.namespace, bucket, "a b.raw", region.lab.put_object(bucket, "a b.raw", b"content"))
    details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
        name="somebody's own", access_type="ObjectRead", object_name=ref.name, time_expires=datetime.now(UTC) + HOUR
    )
    with region.site(buckets=("no-such-bucket", bucket, f"{ref.namespace}/{bucket}")) as site:
        urls = [site.open_way(ref, one, hours=1) for one in (owner, owner, alive)]
        client = site._session.objectstorage
        client.create_preauthenticated_request(ref.namespace, bucket, details)
        done = sweep(site, lambda name: name == owner.text)
        left = client.list_preauthenticated_requests(ref.namespace, bucket).data
        assert (set(done["released"]), done["failed"]) == ({f"way a b.raw of {owner}"}, [])
        assert sorted(one.name for one in left) == ["somebody's own", alive.tag("read")]
        assert [status_of(region, url) for url in urls] == [404, 404, 200]
        assert site.close_ways(ref, alive) == 1


def status_of(region: Region, url: str) -> int:
    context = ssl.create_default_context(cafile=str(region.lab.ca))
    try:
        with urllib.request.urlopen(url, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
