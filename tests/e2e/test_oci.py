"""Uploads to the simulated OCI through the real function and a real Airflow: one run for each, however it is found."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.airflow.installation import wait_until
from lab.airflow.oci_installation import IMPORT, SEARCH, OciInstallation, oci_installation

from vmferry.operations.disk_import.uploads import run_id
from vmferry.platforms.oci.objects import ObjectRef

pytestmark = [pytest.mark.e2e, pytest.mark.root]
CONTENT = random.Random(9).randbytes(3_000_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciInstallation]:
    with oci_installation(tmp_path_factory.mktemp("oci")) as installation:
        installation.write_policy(fs_check="skip")
        yield installation


def runs_of(made: OciInstallation, name: str) -> list[str]:
    return [run for run in made.api.list_runs(IMPORT) if name in run]


def require_imported(made: OciInstallation, run: str) -> None:
    assert made.api.wait_for_run(IMPORT, run, timeout_s=900) == "success", made.api.explain(IMPORT, run)
    done = made.api.xcom(IMPORT, run, "publish")
    with made.lab.volume_path(done["volume"]).open("rb") as volume:
        assert volume.read(len(CONTENT)) == CONTENT
    assert len(done["root"]) == len(hashlib.sha256().hexdigest())
    living = [one for one in made.lab.state()["instance"].values() if one["lifecycleState"] != "TERMINATED"]
    assert living == []


@pytest.mark.timeout(1800)
def test_five_events_are_one_run(made: OciInstallation) -> None:
    made.upload("five.raw", CONTENT)
    wait_until(lambda: bool(runs_of(made, "five.raw")), "the event's run", timeout_s=300)
    event = next(one["event"] for one in made.lab.events() if one["event"]["data"]["resourceName"] == "five.raw")
    answers = [made.function.call(json.dumps(event).encode()) for _ in range(4)]
    assert {(status, json.loads(answer)["status"]) for status, answer in answers} == {(200, "already there")}
    [run] = runs_of(made, "five.raw")
    require_imported(made, run)


@pytest.mark.timeout(1800)
def test_event_while_airflow_is_down_is_found_later(made: OciInstallation) -> None:
    made.home.kill_part("api-server")
    try:
        made.upload("night.raw", CONTENT)
        wait_until(lambda: made.lab.events()[-1]["state"] == "dead", "the event to be given up", timeout_s=300)
    finally:
        made.home.start_part("api-server")
        made.home.wait_until_healthy()
    assert runs_of(made, "night.raw") == []
    found = made.api.trigger(SEARCH)
    made.api.switch_on(SEARCH)
    assert made.api.wait_for_run(SEARCH, found, timeout_s=600) == "success"
    wait_until(lambda: bool(runs_of(made, "night.raw")), "the search to start a run", timeout_s=600)
    [run] = runs_of(made, "night.raw")
    require_imported(made, run)
    assert runs_of(made, "night.raw") == [run]


@pytest.mark.timeout(1800)
def test_lost_event_is_found(made: OciInstallation) -> None:
    made.function.kill()
    made.upload("lost.raw", CONTENT)
    made.upload("notes.txt", b"not a disk image")
    wait_until(lambda: made.lab.events()[-2]["state"] == "dead", "the event to be given up", timeout_s=300)
    made.api.switch_on(SEARCH)  # its schedule begins with a run at once
    wait_until(lambda: bool(runs_of(made, "lost.raw")), "the search to start a run", timeout_s=600)
    [run] = runs_of(made, "lost.raw")
    require_imported(made, run)
    again = made.api.trigger(SEARCH)
    assert made.api.wait_for_run(SEARCH, again, timeout_s=600) in ("success", "skipped")
    assert (len(runs_of(made, "lost.raw")), runs_of(made, "notes")) == (1, [])


def test_what_is_no_image_is_refused_in_one_line(made: OciInstallation, tmp_path: Path) -> None:
    run = made.api.trigger(
        IMPORT, {"namespace": made.lab.namespace, "bucket": "uploads", "object": "no.raw", "etag": ""}
    )
    assert made.api.wait_for_run(IMPORT, run, timeout_s=600) == "failed"
    assert "is not there" in made.api.explain(IMPORT, run)
    assert made.api.task_states(IMPORT, run)["create_instance"] == "upstream_failed"


@pytest.mark.timeout(1800)
def test_worker_that_never_runs_is_given_back(made: OciInstallation) -> None:
    made.lab.fault("phase", {"kind": "instance", "state": "RUNNING"}, value="STOPPED", times=-1)
    try:
        ref = ObjectRef(made.lab.namespace, "uploads", "stopped.raw", made.upload("stopped.raw", CONTENT))
        conf = {"namespace": ref.namespace, "bucket": ref.bucket, "object": ref.name, "etag": ref.etag}
        run = made.api.trigger(IMPORT, conf, run_id(ref))
        assert made.api.wait_for_run(IMPORT, run, timeout_s=1200) == "failed"
    finally:
        made.lab.hook("faults", clear=True)
    states = made.api.task_states(IMPORT, run)
    assert (states["create_instance"], states["terminate_instance"]) == ("failed", "success")
    living = [one for one in made.lab.state()["instance"].values() if one["lifecycleState"] != "TERMINATED"]
    assert living == []
