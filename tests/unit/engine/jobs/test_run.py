"""Jobs through the engine's own command line, from the source tree."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.jobs import (
    ask_engine,
    copy_spec,
    engine_command,
    engine_environment,
    is_alive,
    make_disk,
    request,
    slowly,
    wait_until,
)

from vmferry.engine.jobs import JobDirectory, JobKind, JobSpec, JobState, cancel, poll, set_rate
from vmferry.engine.units import MiB


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[JobDirectory]:
    directory = JobDirectory(tmp_path / "jobs" / "job")
    yield directory
    pid = poll(directory).pid
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(directory: JobDirectory, spec: JobSpec) -> None:
    code, answer = ask_engine("job", "start", str(directory.path), stdin=request(spec))
    assert (code, answer[0]["state"]) == (0, "running")


def wait_for(directory: JobDirectory, state: JobState) -> None:
    wait_until(lambda: poll(directory).state is state, f"the job is {state.value}")


def test_a_copy_runs_to_its_result(directory: JobDirectory, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 5 * MiB + 1000)
    spec = copy_spec("job", disk, tmp_path / "target", proof="disk.proof")
    code, lines = ask_engine("job", "run", str(directory.path), stdin=request(spec))
    assert code == 0
    assert [line["state"] for line in lines] == ["running", "done"]
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()
    assert lines[1]["result"]["result"]["size_bytes"] == disk.stat().st_size
    assert lines[1]["progress"]["bytes_total"] == disk.stat().st_size
    assert (directory.path / "disk.proof").is_file()

    measured = JobSpec("proof", JobKind.PROOF, {"source": {"kind": "file", "address": str(tmp_path / "target")}})
    _, proved = ask_engine("job", "run", str(tmp_path / "jobs" / "proof"), stdin=request(measured))
    assert proved[1]["result"]["result"]["root"] == lines[1]["result"]["result"]["root"]


def test_a_convert_makes_an_image_and_an_inspect_reads_it(tmp_path: Path) -> None:
    disk, image = make_disk(tmp_path / "source", 2 * MiB), str(tmp_path / "target.qcow2")
    target = {"kind": "image", "address": image, "format": "qcow2", "options": {"create": {"compress": True}}}
    convert = JobSpec("c", JobKind.CONVERT, {"source": {"kind": "file", "address": str(disk)}, "target": target})
    code, _ = ask_engine("job", "run", str(tmp_path / "jobs/c"), stdin=request(convert))
    assert code == 0
    inspect = JobSpec("i", JobKind.INSPECT, {"source": {"kind": "file", "address": image}})
    _, lines = ask_engine("job", "run", str(tmp_path / "jobs/i"), stdin=request(inspect))
    facts = lines[1]["result"]["result"]
    assert (facts["format"], facts["virtual_size_bytes"]) == ("qcow2", 2 * MiB)


@pytest.mark.parametrize(
    ("params", "code", "kind"),
    [
        pytest.param({}, 2, "Unreadable", id="source-is-not-there"),
        pytest.param({"size_limit": 1000}, 1, "RefusedImage", id="source-is-too-large"),
    ],
)
def test_a_failure_has_its_error_and_exit_code(
    directory: JobDirectory, tmp_path: Path, params: dict[str, int], code: int, kind: str
) -> None:
    disk = make_disk(tmp_path / "source", 2000) if params else tmp_path / "missing"
    spec = copy_spec("job", disk, tmp_path / "target", **params)
    got, lines = ask_engine("job", "run", str(directory.path), stdin=request(spec))
    assert (got, lines[-1]["state"], lines[-1]["result"]["error"]["kind"]) == (code, "failed", kind)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        pytest.param(b'{"spec": {}, "secrets": {"password": "hunter2"', "is not {spec, secrets}", id="torn-json"),
        pytest.param(b'{"spec": {"id": "job", "kind": "dance"}}', "'dance' is no kind", id="unknown-kind"),
        pytest.param(b'{"spec": {"id": "job", "kind": "copy", "params": {}}}', "needs 'source'", id="no-source"),
    ],
)
def test_bad_input_makes_no_job(directory: JobDirectory, stdin: bytes, says: str) -> None:
    code, answer = ask_engine("job", "start", str(directory.path), stdin=stdin)
    assert code == 2
    assert says in answer[0]["error"]["what"]
    assert "hunter2" not in str(answer)
    assert not directory.path.exists()


def test_a_failed_job_goes_on_when_started_again(directory: JobDirectory, tmp_path: Path) -> None:
    spec = copy_spec("job", tmp_path / "source", tmp_path / "target")
    assert ask_engine("job", "run", str(directory.path), stdin=request(spec))[0] == 2
    make_disk(tmp_path / "source", 3 * MiB)
    left = ask_engine("job", "start", str(directory.path), "--not-again", stdin=request(spec))[1][0]
    assert left["state"] == "failed"
    code, lines = ask_engine("job", "run", str(directory.path), stdin=request(spec))
    assert (code, lines[-1]["state"], lines[-1]["attempts"]) == (0, "done", 2)


def test_a_killed_job_is_lost_and_goes_on_from_its_journal(directory: JobDirectory, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 160 * MiB)
    spec = copy_spec("job", disk, tmp_path / "target", rate=100 * MiB)
    start(directory, spec)
    # A commit of a few groups: 2 KiB of digests for each 4 MiB.
    wait_until(lambda: directory.journal.exists() and directory.journal.stat().st_size > 10_000, "a commit")
    set_rate(directory, MiB)
    pid = poll(directory).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(directory, JobState.LOST)
    set_rate(directory, None)
    start(directory, spec)
    wait_for(directory, JobState.DONE)
    status = poll(directory)
    assert status.attempts == 2
    assert status.result is not None
    assert status.result.value is not None
    assert status.result.value["resumed_bytes"] >= 16 * MiB
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_cancelled_job_stops_and_can_go_on(directory: JobDirectory, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 40 * MiB)
    spec = slowly("job", disk, tmp_path / "target")
    start(directory, spec)
    assert cancel(directory).state in (JobState.RUNNING, JobState.CANCELLED)
    wait_for(directory, JobState.CANCELLED)
    assert "Cancelled" in str(poll(directory).result)
    assert directory.journal.is_file()
    set_rate(directory, None)
    start(directory, spec)
    wait_for(directory, JobState.DONE)
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_request_in_the_control_file_alone_cancels(directory: JobDirectory, tmp_path: Path) -> None:
    start(directory, slowly("job", make_disk(tmp_path / "source", 40 * MiB), tmp_path / "target"))
    directory.control.write_text('{"cancel": true}')
    wait_for(directory, JobState.CANCELLED)
    assert " stopping " in directory.log.read_text()


def test_asked_twice_a_job_that_hangs_ends_at_once(directory: JobDirectory, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = {"kind": "nbd", "address": f"nbd://127.0.0.1:{silent.getsockname()[1]}/x"}
        start(directory, JobSpec("job", JobKind.PROOF, {"source": source}))
        pid = poll(directory).pid
        assert pid is not None
        cancel(directory)
        wait_until(lambda: " stopping " in directory.log.read_text(), "it heard")
        cancel(directory)
        wait_for(directory, JobState.CANCELLED)
        wait_until(lambda: not is_alive(pid), "its process is gone")
    assert "stopped hard" in str(poll(directory).result)


def test_a_job_dies_with_its_parent(directory: JobDirectory, tmp_path: Path) -> None:
    spec = slowly("job", make_disk(tmp_path / "source", 40 * MiB), tmp_path / "target")
    (tmp_path / "request").write_bytes(request(spec))
    command = " ".join(engine_command("job", "run", str(directory.path), "--die-with-parent", "$$"))
    shell = subprocess.Popen(
        ["sh", "-c", f"{command} < {tmp_path}/request & wait"], stdout=subprocess.DEVNULL, env=engine_environment()
    )
    wait_until(lambda: poll(directory).pid, "it runs")
    pid = poll(directory).pid
    assert pid is not None
    shell.kill()
    shell.wait()
    wait_for(directory, JobState.LOST)
    assert not is_alive(pid)


def test_the_rate_changes_while_it_runs(directory: JobDirectory, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 100 * MiB)
    start(directory, slowly("job", disk, tmp_path / "target"))
    code, _ = ask_engine("job", "rate", str(directory.path), "none")
    assert code == 0
    wait_for(directory, JobState.DONE)
    assert (tmp_path / "target").stat().st_size == disk.stat().st_size


def test_jobs_are_listed_and_forgotten(tmp_path: Path) -> None:
    root = tmp_path / "jobs"
    assert ask_engine("job", "list", str(root))[1] == [{"jobs": []}]
    spec = copy_spec("one", make_disk(tmp_path / "source", 1000), tmp_path / "target")
    ask_engine("job", "run", str(root / "one"), stdin=request(spec))
    assert [job["id"] for job in ask_engine("job", "list", str(root))[1][0]["jobs"]] == ["one"]
    assert ask_engine("job", "forget", str(root / "one"))[1][0]["state"] == "absent"
    code, answer = ask_engine("job", "cancel", str(root / "one"))
    assert (code, answer[0]["error"]["kind"]) == (2, "JobUnknown")


def test_an_fsck_names_each_file_system(directory: JobDirectory, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"")
    os.truncate(disk, 16 * MiB)
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True)
    spec = JobSpec("job", JobKind.FSCK, {"disk": str(disk), "format": "raw"})
    code, lines = ask_engine("job", "run", str(directory.path), stdin=request(spec))
    assert code == 0
    assert lines[-1]["result"]["result"]["verdict"] == "clean"
