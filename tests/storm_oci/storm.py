"""A storm over imports into a simulated OCI: real Airflow, real sshd, real devices, and something dies all the time."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from lab.airflow.oci_installation import JANITOR, OciInstallation
from tests.storm.asking import PatientApi
from tests.storm.gale import Gale
from tests.storm.lanes import ENDED, Run
from tests.storm_oci.images import make_images
from tests.storm_oci.imports import Imports
from tests.storm_oci.victims import KINDS, OciVictims

from vmferry.engine.units import MiB

_CALM_S = 1200.0
DELAYS = {
    "instance.provisioning": 4.0, "instance.terminating": 4.0, "guest.boot": 3.0, "guest.cloud_init": 5.0,
    "volume.provisioning": 4.0, "attachment.attaching": 4.0, "attachment.detaching": 4.0, "guest.sshd_restart": 2.0,
}  # fmt: skip
"""Seconds. A cloud is slower still, but so each state can be met."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How hard it blows."""

    seed: int
    kills: int
    name: str = "storm"
    imports: int = 3
    """At once."""
    disk_bytes: int = 320 * MiB
    data_bytes: int = 200 * MiB
    rate_mib: int = 8
    pauses: tuple[float, float] = (0.02, 0.16)
    """Between two kills, in times that an undisturbed import takes."""
    kinds: tuple[str, ...] = KINDS


class OciStorm(Gale):
    """One storm over an installation."""

    def __init__(self, installed: OciInstallation, wish: Wish) -> None:
        self.installed = installed
        self.wish = wish
        self.api = PatientApi(installed.api)
        dice = random.Random(f"{wish.seed} {wish.name}")
        self.victims: OciVictims
        victims = OciVictims(installed, random.Random(dice.random()))
        directory = _made(installed.directory / "images")
        images = make_images(directory, wish.disk_bytes, wish.data_bytes, wish.seed)
        name = f"{wish.name}{wish.seed}"
        self.imports = Imports(installed, self.api, images, wish.imports, name, str(dice.random()))
        super().__init__(installed.home, victims, self.imports, wish.kinds, dice)

    def prepare(self) -> None:
        """Make the cloud slow, and import one image undisturbed."""
        self.installed.lab.settings(delays=DELAYS)
        self.installed.write_policy(max_rate=f"{self.wish.rate_mib}MiB")
        self.installed.api.wait_for_dags(JANITOR)
        began = time.monotonic()
        first = self.imports.import_next()
        deadline = began + _CALM_S
        while self.imports.look():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{first} has not ended: {self.explain(first)}")
            time.sleep(0.5)
        if first.state != "success":
            raise AssertionError(f"{first} failed in calm weather: {self.explain(first)}")
        self.calm_s = time.monotonic() - began
        print(f"an undisturbed import takes {self.calm_s:.0f} s here", flush=True)

    def blow(self) -> None:
        """Kill, until all kills are done."""
        self.imports.start()
        self.strike_all(self.wish.kills, self.wish.pauses)

    def settle(self) -> list[Run]:
        """Let everything come back and end; gives the runs that failed."""
        return self.await_end()

    def explain(self, run: Run) -> str:
        """Give the logs of a run's tasks that failed."""
        return self.api.ask(lambda api: api.explain(run.dag_id, run.run_id))

    def good_runs(self) -> list[Run]:
        """Give the runs that ended well."""
        return [run for run in self.imports.runs if run.state in ENDED and run.state == "success"]


def _made(path: Path) -> Path:
    path.mkdir()
    return path
