from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from lab.jobs import ask_engine, copy_spec, engine_environment, make_disk, request, wait_until

from vmferry.engine.errors import BadInput, JobBusy
from vmferry.engine.jobs import JobDirectory, JobMismatch, JobSpec, JobState, cancel, claim, forget, poll
from vmferry.engine.jobs.lock import is_held, try_acquire
from vmferry.engine.jobs.owner import begin_attempt

RACERS = 8
ROUNDS = 25


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    return copy_spec("job", make_disk(tmp_path / "source", 100_000), tmp_path / "target")


@pytest.fixture
def directory(tmp_path: Path) -> JobDirectory:
    return JobDirectory(tmp_path / "jobs" / "job")


def test_the_first_gets_the_lock_the_second_attaches(directory: JobDirectory, spec: JobSpec) -> None:
    first = claim(directory, spec)
    assert first.lock is not None
    with first.lock:
        second = claim(directory, spec)
        assert second.lock is None
        assert second.status.state is JobState.RUNNING
    again = claim(directory, spec)
    assert again.lock is not None
    again.lock.release()


def test_another_spec_is_refused_and_changes_nothing(directory: JobDirectory, spec: JobSpec, tmp_path: Path) -> None:
    lock = claim(directory, spec).lock
    assert lock is not None
    lock.release()
    before = directory.spec.read_bytes()
    other = copy_spec("job", tmp_path / "source", tmp_path / "elsewhere")
    with pytest.raises(JobMismatch, match=r"params.target.address was .*target', now it is .*elsewhere'"):
        claim(directory, other)
    assert directory.spec.read_bytes() == before
    assert not is_held(directory.lock)


def test_a_directory_of_another_name_is_refused(tmp_path: Path, spec: JobSpec) -> None:
    with pytest.raises(BadInput, match="cannot live in"):
        claim(JobDirectory(tmp_path / "other"), spec)
    assert not (tmp_path / "other").exists()


def test_states_follow_what_is_on_disk(directory: JobDirectory, spec: JobSpec) -> None:
    assert poll(directory).state is JobState.ABSENT
    lock = claim(directory, spec).lock
    assert lock is not None
    lock.release()
    assert poll(directory).state is JobState.CREATED
    lock = claim(directory, spec).lock
    assert lock is not None
    begin_attempt(directory)
    assert poll(directory).state is JobState.RUNNING
    lock.release()
    assert poll(directory).state is JobState.LOST
    assert cancel(directory).state is JobState.CANCELLED
    forget(directory)
    assert poll(directory).state is JobState.ABSENT
    assert list(directory.path.parent.iterdir()) == []


def test_a_running_job_is_not_forgotten(directory: JobDirectory, spec: JobSpec) -> None:
    lock = claim(directory, spec).lock
    assert lock is not None
    with lock, pytest.raises(JobBusy, match="job job runs"):
        forget(directory)
    forget(directory)
    forget(directory)
    assert not directory.path.exists()


def test_who_only_looks_never_keeps_a_start_away(directory: JobDirectory, spec: JobSpec) -> None:
    lock = claim(directory, spec).lock
    assert lock is not None
    lock.release()
    code = f"""
        import pathlib, sys
        from vmferry.engine.jobs.lock import is_held
        print("ready", flush=True)
        while True:
            is_held(pathlib.Path({str(directory.lock)!r}))
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    lookers = [subprocess.Popen(argv, stdout=subprocess.PIPE, env=engine_environment()) for _ in range(2)]
    try:
        for looker in lookers:
            assert looker.stdout is not None
            assert looker.stdout.readline() == b"ready\n"
        for _ in range(300):
            taken = try_acquire(directory.lock)
            assert taken is not None
            taken.release()
    finally:
        for looker in lookers:
            looker.kill()
            looker.communicate()


RACE = """
import json, pathlib, sys
from vmferry.engine.jobs import JobDirectory, JobSpec, claim
root, rounds, raw = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
won = []
for number in range(rounds):
    raw["id"] = f"job{number}"
    found = claim(JobDirectory(root / raw["id"]), JobSpec.from_json(raw))
    if found.lock:
        won.append(found.lock)
    else:
        assert found.status.state.value == "running", found
print(len(won), flush=True)
sys.stdin.read()
"""


def test_of_many_racing_starts_one_wins_each_job(tmp_path: Path, spec: JobSpec) -> None:
    import json

    argv = [sys.executable, "-c", RACE, str(tmp_path / "race"), str(ROUNDS), json.dumps(spec.to_json())]
    racers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=engine_environment())
        for _ in range(RACERS)
    ]
    wins = [int(racer.stdout.readline()) for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate()
    assert sum(wins) == ROUNDS
    assert {racer.returncode for racer in racers} == {0}


OVERLAP = """
import json, os, pathlib, sys
from vmferry.engine.jobs import JobDirectory, JobSpec, claim
directory, spec = JobDirectory(pathlib.Path(sys.argv[1])), JobSpec.from_json(json.loads(sys.argv[2]))
inside = directory.path.parent / "inside"
wins = 0
while wins < 40:
    lock = claim(directory, spec).lock
    if lock:
        wins += 1
        with inside.open("x") as file:   # fails when another is inside
            os.fsync(file.fileno())
        inside.unlink()
        lock.release()
"""


def test_two_owners_are_never_inside_at_once(directory: JobDirectory, spec: JobSpec) -> None:
    import json

    argv = [sys.executable, "-c", OVERLAP, str(directory.path), json.dumps(spec.to_json())]
    racers = [subprocess.Popen(argv, env=engine_environment()) for _ in range(4)]
    assert {racer.wait() for racer in racers} == {0}


def test_racing_detached_starts_run_the_job_once(directory: JobDirectory, spec: JobSpec) -> None:
    argv = [sys.executable, "-m", "vmferry.engine", "job", "start", str(directory.path)]
    racers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=engine_environment())
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(request(spec))
        racer.stdin.close()
    assert {racer.wait() for racer in racers} == {0}
    wait_until(lambda: poll(directory).state is JobState.DONE, "the job is done")
    assert poll(directory).attempts == 1
    assert directory.log.read_text().count(" begin ") == 1
    assert ask_engine("job", "start", str(directory.path), stdin=request(spec))[1][0]["state"] == "done"
