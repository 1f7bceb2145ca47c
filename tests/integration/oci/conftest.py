"""One simulated Oracle Cloud for the package, and our driver at it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from lab.oci.lab import OciLab

from vmferry.platforms.oci import OciSettings, OciSite
from vmferry.platforms.oci.settings import SERVICES
from vmferry.platforms.oci.workers import WorkerSpec
from vmferry.platforms.runs import RunId


@dataclass(frozen=True)
class Region:
    """A lab, and how our driver reaches it."""

    lab: OciLab
    settings: OciSettings

    def site(self, **changes: object) -> OciSite:
        return OciSite(replace(self.settings, **changes))  # type: ignore[arg-type]

    def worker_spec(self, **changes: object) -> WorkerSpec:
        plain = WorkerSpec(self.lab.compartment, self.lab.subnet, image=self.lab.image)
        return replace(plain, **changes)  # type: ignore[arg-type]


def settings_of(lab: OciLab, ssh_key: Path) -> OciSettings:
    return OciSettings(
        "oci",
        lab.config["region"],
        tenancy=lab.config["tenancy"],
        user=lab.config["user"],
        fingerprint=lab.config["fingerprint"],
        key_file=lab.config["key_file"],
        compartments=(lab.compartment,),
        ssh_key_file=str(ssh_key),
        ssh_port=lab.ssh_port,
        ca_file=str(lab.ca),
        endpoints=dict.fromkeys(SERVICES, lab.endpoint),
        outage_s=20,
        wait_s=60,
        poll_s=0.1,
    )


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "id_ed25519"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="package")
def region(tmp_path_factory: pytest.TempPathFactory, ssh_key: Path) -> Iterator[Region]:
    with OciLab(tmp_path_factory.mktemp("oci"), delay=0.05) as lab:
        yield Region(lab, settings_of(lab, ssh_key))


@pytest.fixture(autouse=True)
def _no_faults(region: Region) -> Iterator[None]:
    yield
    region.lab.hook("faults", clear=True)
    region.lab.settings(full=[], limits={}, delays={}, page_size=100, cut_until=0.0)


@pytest.fixture
def site(region: Region) -> Iterator[OciSite]:
    with region.site() as made:
        yield made


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> RunId:
    return RunId.of("test", request.node.name)
