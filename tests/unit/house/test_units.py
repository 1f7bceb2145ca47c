"""The units of systemd are ones that systemd takes, and have the settings that the containers have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts.check_deployment import COMPOSE, load_compose

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "deploy/systemd"
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
HARDENED = (
    "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes",
    "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "User=vmferry",
)  # fmt: skip


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, as if everything were installed below a directory of the test."""
    prefix = tmp_path / "vmferry"
    for name in ("venv/bin/airflow", "bin/init.sh"):
        program = prefix / name
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    made = tmp_path / "units"
    made.mkdir()
    for unit in UNITS.glob("vmferry*.*"):
        if unit.suffix in {".service", ".target"}:
            (made / unit.name).write_text(unit.read_text().replace("/opt/vmferry", str(prefix)))
    for part in PARTS:
        shutil.copy(made / "vmferry@.service", made / f"vmferry@{part}.service")
    return made


def verify(units: Path) -> subprocess.CompletedProcess[str]:
    names = sorted(str(path) for path in units.iterdir() if "@." not in path.name)
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    command = ["systemd-analyze", "verify", "--man=no", *names]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_systemd_takes_the_units_and_says_nothing(units: Path) -> None:
    done = verify(units)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_setting_that_systemd_does_not_know_would_be_told(units: Path) -> None:
    unit = units / "vmferry@scheduler.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))

    assert "ProtectHomes" in verify(units).stderr


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_a_unit_has_no_right_that_it_does_not_need(unit: Path) -> None:
    lines = unit.read_text().splitlines()

    assert [line for line in HARDENED if line not in lines] == []


def test_the_settings_are_those_of_the_containers() -> None:
    example = (UNITS / "vmferry.env.example").read_text()
    every_machine, _, central = example.partition("# -- The machines of Airflow itself")
    services = load_compose(ROOT / COMPOSE)["services"]

    def names(text: str) -> set[str]:
        return set(re.findall(r"^(AIRFLOW__\w+)=", text, re.MULTILINE))

    def shipped(service: str) -> set[str]:
        return {name for name in services[service]["environment"] if name.startswith("AIRFLOW__")}

    assert names(every_machine) == shipped("edge-worker")
    # A container listens inside of itself; a machine only on loopback.
    assert names(example) - {"AIRFLOW__API__HOST"} == shipped("scheduler")
    assert names(every_machine) & names(central) == set()
