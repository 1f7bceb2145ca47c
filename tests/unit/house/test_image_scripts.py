"""The scripts of the image say what is wrong, and then do nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("backups", "certs", "logs", "rendered")


def init(home: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run init.sh where `airflow` writes down what it was asked for."""
    programs.mkdir()
    airflow = programs / "airflow"
    airflow.write_text(f'#!/bin/sh\necho "$*" >> {programs}/asked\n')
    airflow.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__VMFERRY__POLICY_FILE": str(home / "policy/variables.json"),
        "ADMIN_PASSWORD": "planted-secret",
    }
    script = ROOT / "deploy/image/init.sh"
    return subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)


def test_directories_and_a_policy_that_are_missing_are_all_named_and_nothing_is_done(tmp_path: Path) -> None:
    done = init(tmp_path / "home", tmp_path / "programs")

    assert done.returncode == 2
    assert [name for name in NAMES if f"home/{name} cannot be written by user {os.getuid()}" not in done.stderr] == []
    assert "there is no policy in" in done.stderr
    assert not (tmp_path / "programs/asked").exists()


def test_the_database_comes_first_and_no_password_is_an_argument(tmp_path: Path) -> None:
    for name in (*NAMES, "policy"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home/policy/variables.json").write_text("{}")

    done = init(tmp_path / "home", tmp_path / "programs")

    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "programs/asked").read_text()
    assert [line.split(" --")[0] for line in asked.splitlines()] == ["db migrate", "users create"]
    assert "planted-secret" not in asked + done.stdout + done.stderr


def test_a_part_that_there_is_not_is_no_health_check() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:9/execution/",
    }
    script = ROOT / "deploy/image/healthy.sh"

    done = subprocess.run(["bash", str(script), "webserver"], env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stderr.strip()) == (2, "usage: healthy.sh PART")
