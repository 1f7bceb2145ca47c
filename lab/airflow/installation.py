"""A whole installation: two simulated oVirt sites over real qemu and imageio, a policy, and a real Airflow."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.airflow.airflow_api import AirflowApi
from lab.airflow.airflow_home import ROOT, AirflowHome, airflow_running
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from vmferry.engine.units import MiB

SITES = ("source", "target")


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that runs."""

    directory: Path
    production: OvirtLab
    recovery: OvirtLab
    home: AirflowHome
    api: AirflowApi

    @property
    def vault(self) -> Path:
        """Where backups go."""
        return self.directory / "vault"

    @property
    def policy_file(self) -> Path:
        """The policy."""
        return self.directory / "variables.json"

    def write_policy(self, **more: Any) -> None:
        """Write the policy, with what is the same in all of ours."""
        said = {
            "source_ovirt_url": self.production.url,
            "source_ovirt_user": self.production.user,
            "source_ovirt_cert_path": str(self.production.ca),
            "target_ovirt_url": self.recovery.url,
            "target_ovirt_user": self.recovery.user,
            "target_ovirt_cert_path": str(self.recovery.ca),
            "backup_directory": str(self.vault),
            "restore_settings": {"target_cluster_name": "Default", "target_storage_domain_name": "dr-data"},
        }
        self.policy_file.write_text(json.dumps({**said, **more}))

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, *, timeout_s: float = 600.0) -> str:
        """Run a DAG to its good end and give the run's id; raises with the logs of the tasks that failed."""
        run_id = self.api.trigger(dag_id, conf)
        state = self.api.wait_for_run(dag_id, run_id, timeout_s=timeout_s)
        if state != "success":
            raise AssertionError(f"{dag_id} {run_id}: {state}\n{self.api.explain(dag_id, run_id)}")
        return run_id

    def render(self) -> None:
        """Make the policy's DAGs, by the DAG that does it, and wait until they are listed and switched on."""
        self.run("generate_complete_dynamic_dags")
        from vmferry.policy.load import load
        from vmferry.policy.resolve import resolve

        ids = [vm.dag_id for vm in resolve(load(self.policy_file))]
        self.api.wait_for_dags(*ids)
        for dag_id in ids:
            self.api.switch_on(dag_id)


@contextmanager
def installation(directory: Path, **settings: str) -> Iterator[Installation]:
    """Start it all; stop it all."""
    with OvirtLab(directory / "prod", "prod") as production, OvirtLab(directory / "dr", "dr") as recovery:
        home = AirflowHome(
            directory / "airflow",
            {"vmferry": ROOT / "dags", "rendered": directory / "rendered"},
            settings={
                "AIRFLOW__VMFERRY__POLICY_FILE": str(directory / "variables.json"),
                "AIRFLOW__VMFERRY__RENDERED_DAGS": str(directory / "rendered"),
                **settings,
            },
        )
        with airflow_running(home) as api:
            made = Installation(directory, production, recovery, home, api)
            for site, lab in zip(SITES, (production, recovery), strict=True):
                connect(api, site, lab)
            api.wait_for_dags("generate_complete_dynamic_dags", "restore_vm")
            for dag_id in ("generate_complete_dynamic_dags", "restore_vm", "dr_drill"):
                api.switch_on(dag_id)
            yield made


def wait_until(is_so: Callable[[], bool], what: str, *, timeout_s: float = 300.0) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.5)


def connect(api: AirflowApi, site: str, lab: OvirtLab) -> None:
    """Store the connection of a site, as an admin does in the form."""
    api.add_connection(
        f"vmferry_{site}",
        conn_type="vmferry_ovirt",
        host=lab.url,
        login=lab.user,
        password=lab.password_secret,
        extra={"ca_file": str(lab.ca)},
    )


def make_disk(path: Path, size_bytes: int, seed: int) -> Path:
    """Make a raw disk with some data and many holes."""
    dice = random.Random(seed)
    with path.open("wb") as disk:
        disk.truncate(size_bytes)
        for _ in range(12):
            disk.seek(dice.randrange(0, size_bytes - MiB, 4096))
            disk.write(dice.randbytes(dice.randrange(4096, MiB, 512)))
    return path


def add_vm(lab: OvirtLab, directory: Path, name: str, *, disks: int = 2, size_bytes: int = 48 * MiB) -> LabVm:
    """Make a VM whose disks hold something."""
    contents = [make_disk(directory / f"{name}-{number}.raw", size_bytes, number) for number in range(disks)]
    return lab.add_vm(name, [{"content": path} for path in contents], ips=["192.0.2.7"])
