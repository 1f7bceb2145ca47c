"""The real command against two simulated oVirt sites over real imageio and qemu; no Airflow anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm

from vmferry.engine.qemu.child import start_bound

MiB = 1 << 20
SIZE = 24 * MiB
DEADLINE_S = 300.0
PROGRAM = str(Path(sys.executable).with_name("vmferry"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class World:
    """Two sites, a vault, a policy, and a person at a shell."""

    prod: OvirtLab
    dr: OvirtLab
    tmp: Path
    name: str
    made: int = 0

    @property
    def environment(self) -> dict[str, str]:
        passwords = {
            "VMFERRY_PASSWORD_SOURCE": self.prod.password_secret,
            "VMFERRY_PASSWORD_TARGET": self.dr.password_secret,
        }
        return {**os.environ, "XDG_STATE_HOME": str(self.tmp / "state"), "TMPDIR": str(self.tmp), **passwords}

    def run(self, *arguments: object, code: int | None = 0, stdin: str = "", **environment: str) -> Answer:
        command = [PROGRAM, *map(str, arguments)]
        settings = {**self.environment, **environment}
        done = subprocess.run(
            command, cwd=self.tmp, env=settings, input=stdin, capture_output=True, text=True, check=False, timeout=400
        )
        answer = Answer(done.returncode, done.stdout, done.stderr)
        assert code in (None, answer.code), f"{' '.join(command)}: exit {answer.code}\n{answer.out}\n{answer.err}"
        assert "Traceback" not in answer.err, answer.err
        for lab in (self.prod, self.dr):
            assert lab.password_secret not in answer.out + answer.err
        return answer

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        with (self.tmp / "started.log").open("ab") as log:
            return start_bound(
                [PROGRAM, *map(str, arguments)], cwd=self.tmp, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def started_log(self) -> str:
        return (self.tmp / "started.log").read_text()

    def start_until(
        self, lab: OvirtLab, match: dict[str, Any], *arguments: object, hold_s: float = 6.0
    ) -> subprocess.Popen[bytes]:
        """Start a command and come back when the engine holds back its answer to that call."""
        lab.fault("delay", match, value=hold_s)
        process = self.start(*arguments)
        deadline = time.monotonic() + DEADLINE_S
        while not lab.hook("faults")[-1]["used"]:
            assert process.poll() is None, self.started_log()
            assert time.monotonic() < deadline, self.started_log()
        return process

    def kill_at(self, lab: OvirtLab, match: dict[str, Any], *arguments: object) -> None:
        process = self.start_until(lab, match, *arguments)
        process.kill()
        process.wait()
        lab.hook("faults", clear=True)

    def sweep(self, site: str, *arguments: str) -> None:
        """Sweep; what other tests have at the sites is theirs."""
        answer = self.run("site", "sweep", "--site", site, *arguments, "--json", code=None)
        assert answer.code in (0, 1), answer.err
        assert answer.json()["failed"] == []

    def sweep_until_nothing_is_left(self, site: str) -> None:
        """A request of the killed may still be under way at the engine."""
        lab = self.prod if site == "source" else self.dr
        wait_until(lambda: all("status" in call for call in lab.log()), "the engine to hear all that was asked")
        if self.leftovers(site):
            self.sweep(site)
        assert self.leftovers(site) == []

    def write_policy(self, **more: Any) -> Path:
        said = {
            "source_ovirt_url": self.prod.url,
            "source_ovirt_user": self.prod.user,
            "source_ovirt_cert_path": str(self.prod.ca),
            "target_ovirt_url": self.dr.url,
            "target_ovirt_user": self.dr.user,
            "target_ovirt_ca_fingerprint": self.dr.fingerprint,
            "backup_directory": str(self.tmp / "vault"),
            "restore_settings": {"target_cluster_name": "Default", "target_storage_domain_name": "dr-data"},
            "defaults": {"consistency": "crash"},
        }
        path = self.tmp / "variables.json"
        path.write_text(json.dumps({**said, **more}))
        return path

    def add_vm(self, disks: int = 1) -> LabVm:
        self.made += 1
        vm = self.prod.add_vm(f"{self.name}-{self.made}", [{"size": SIZE} for _ in range(disks)])
        for number, disk in enumerate(vm.disks):
            self.write(disk, seed=number)
        return vm

    def write(self, disk: str, *, seed: int) -> None:
        dice = random.Random(f"{disk} {seed}")
        for _ in range(3):
            self.prod.guest_write(disk, dice.randrange(0, SIZE - MiB) // 512 * 512, dice.randbytes(200_192))

    def digests(self, lab: OvirtLab, disks: list[str]) -> list[str]:
        """What disks hold now, by another way than ours."""
        found = []
        for disk in disks:
            path = lab.copy_disk(disk, self.tmp / f"witness-{disk}.raw")
            with path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
            path.unlink()
        return sorted(found)

    def disks_at(self, lab: OvirtLab, vm_id: str) -> list[str]:
        found: list[str] = lab.state()["vms"][vm_id]["disks"]
        return found

    def leftovers(self, site: str) -> list[Any]:
        found: list[Any] = self.run("site", "leftovers", "--site", site, "--json").json()
        return [one for one in found if self.name in one["owner"] or self.name in one["name"]]

    def open_runs(self) -> list[str]:
        runs = self.tmp / "state" / "vmferry" / "runs"
        return [path.name for path in runs.glob("*/record.json")] if runs.is_dir() else []


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("prod"), "prod", delay=0.02) as lab:
        yield lab


@pytest.fixture(scope="session")
def dr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("dr"), "dr", delay=0.02) as lab:
        yield lab


@pytest.fixture
def world(prod: OvirtLab, dr: OvirtLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    for lab in (prod, dr):
        lab.hook("faults", clear=True)
    made = World(prod, dr, tmp_path, f"vm{abs(hash(request.node.nodeid)) % 10**8:08}")
    made.write_policy()
    yield made
    for lab in (prod, dr):
        lab.hook("faults", clear=True)


Judge = Callable[[], bool]


def wait_until(is_so: Judge, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
