"""48 names and images that mean harm go through the bucket's events, the real function and a real Airflow, all at once.

Each is imported equal, or refused with one reason in the note of its run; nothing is left of those that are refused. No
shell ever saw a name: names hold commands that would be heard if one was expanded, on this machine or in a worker, and
all processes of the whole are watched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oci
import pytest
from lab.airflow.installation import wait_until
from lab.airflow.oci_installation import BUCKET, IMPORT, OciInstallation
from tests.e2e.leaks import ProcessWatch
from tests.e2e.oci_canary import Canary, canary
from tests.e2e.oci_hostile import CASES, EQUAL, IGNORED, LIMIT_MIB, NAMES, Case, content_of
from tests.e2e.oci_uploads import RUN_S, answer_to, installation_for_many, left_over, object_storage, require_same

pytestmark = [pytest.mark.e2e, pytest.mark.root]


@dataclass(frozen=True)
class Upload:
    """One that was made."""

    name: str
    content: Path
    run: str
    """Empty when the function wanted none."""


@dataclass(frozen=True)
class Uploads:
    """All of it."""

    made: OciInstallation
    canary: Canary
    watch: ProcessWatch
    done: dict[str, Upload]


@pytest.fixture(scope="module")
def uploads(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploads]:
    items: list[Any] = request.session.items  # with -k, only what is asked for is uploaded
    asked = {item.callspec.params["case"].label for item in items if "case" in getattr(item, "fixturenames", ())}
    cases = [case for case in CASES if case.label in asked] or CASES
    folder = tmp_path_factory.mktemp("images")
    with canary() as bird, installation_for_many(tmp_path_factory.mktemp("oci")) as made, ProcessWatch() as watch:
        made.write_policy(max_size=f"{LIMIT_MIB}MiB")
        stored = {case.label: store(made, bird, case, folder) for case in cases}
        wait_until(lambda: any(one.pid for one in made.lab.instances()), "a worker to live")
        prove_the_canary(made)
        yield Uploads(made, bird, watch, {case.label: answered(made, case, *stored[case.label]) for case in cases})


def store(made: OciInstallation, bird: Canary, case: Case, folder: Path) -> tuple[str, Path, str]:
    """Upload by the SDK, as a person would; gives name, content and etag."""
    name = case.name.format(call=bird.command)
    metadata = {key: text.format(call=bird.command) for key, text in case.metadata.items()}
    content = content_of(case, folder / case.label)
    body = content.read_bytes()
    client = object_storage(made.lab)
    if "\n" in name:  # Object Storage has no such names; should it ever, we take them too
        with pytest.raises(oci.exceptions.ServiceError, match="InvalidObjectName"):
            client.put_object(made.lab.namespace, BUCKET, name, body, opc_meta=metadata)
        return name, content, made.upload(name, content, **metadata)
    answer = client.put_object(made.lab.namespace, BUCKET, name, body, opc_meta=metadata)
    return name, content, str(answer.headers["etag"])


def answered(made: OciInstallation, case: Case, name: str, content: Path, etag: str) -> Upload:
    answer = answer_to(made, etag)
    assert (answer["status"], answer["object"]) == ("ignored" if case.ends == IGNORED else "started", name)
    return Upload(name, content, answer.get("run", ""))


def prove_the_canary(made: OciInstallation) -> None:
    """Expand names on purpose, here and in a worker: another canary hears of each."""
    with canary() as other:
        labels = ("dollar", "backticks", "semicolons", "pipe", "quote-and-call")
        names = [case.name.format(call=other.command) for case in NAMES if case.label in labels]
        for name in names:
            other.prove(name if "'" not in name else f"'{name}'")
        inside = next(one.pid for one in made.lab.instances() if one.pid)
        other.prove(names[0], inside=inside)


@pytest.mark.timeout(RUN_S + 900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_imported_equal_or_refused_with_a_reason(uploads: Uploads, case: Case) -> None:
    made, upload = uploads.made, uploads.done[case.label]
    if case.ends == IGNORED:
        assert upload.run == ""
        return
    state = made.api.wait_for_run(IMPORT, upload.run, timeout_s=RUN_S)
    if case.ends == EQUAL:
        assert state == "success", made.api.explain(IMPORT, upload.run)
        done = made.api.xcom(IMPORT, upload.run, "publish")
        assert done["object"] == upload.name
        require_same(made, done["volume"], upload.content)
        return
    note = str(made.api.find_run(IMPORT, upload.run)["note"])
    assert state == "failed"
    assert re.match(rf"(?s){case.ends}", note), note
    reason = note.partition(" failed: ")[2].partition(". Nothing that was proven is lost")[0]
    assert "; " in reason, note  # what is wrong; what to do
    assert "failed too" not in note
    states = made.api.task_states(IMPORT, upload.run)
    assert [task for task, one in states.items() if one == "failed"] == [note.partition(" ")[0]]
    # What can only be seen by reading all of it is seen while it is written; the volume goes again then.
    assert states["create_block_volume"] == ("success" if case.label == "torn" else "upstream_failed")


@pytest.mark.timeout(RUN_S + 900)
def test_no_shell_saw_a_name_and_nothing_is_left(uploads: Uploads) -> None:
    made, runs = uploads.made, [one.run for one in uploads.done.values() if one.run]
    for run in runs:
        made.api.wait_for_run(IMPORT, run, timeout_s=RUN_S)
    assert left_over(made) == []
    finished = [one for one in made.lab.state()["volume"].values() if one["lifecycleState"] != "TERMINATED"]
    assert len(finished) == len([case for case in CASES if case.ends == EQUAL and case.label in uploads.done])

    assert uploads.canary.heard() == 0
    assert uploads.watch.looks > 100
    assert uploads.watch.find({"the canary's command": uploads.canary.command}) == []
    names = {case.label: uploads.done[case.label].name for case in NAMES if case.label in uploads.done}
    assert uploads.watch.find(names) == []
