"""A whole installation: two simulated oVirt sites over real qemu and imageio, a policy, and a real Airflow."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
        write_policy(self.policy_file, self.production, self.recovery, self.vault, **more)

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
        self.switch_on_rendered()

    def wait_for_question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Wait until a person is asked, and the scheduler knows it: it takes who is quicker for a task that was killed.

        Airflow 3.3.2 asks such a person again, in the task's next try.
        """
        known = re.compile(f"TaskInstance Finished: .*task_id={task_id}, run_id={re.escape(run_id)},.*=awaiting_input")
        log = self.home.home / "scheduler.log"
        wait_until(lambda: known.search(log.read_text(errors="replace")) is not None, f"the question of {task_id}")
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/-1/hitlDetails"
        return {**self.api.call("GET", path), "path": path}

    def approve(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Say yes when asked; give the question."""
        question = self.wait_for_question(dag_id, run_id, task_id)
        self.api.call("PATCH", question["path"], {"chosen_options": ["Approve"], "params_input": {}})
        return question

    def switch_on_rendered(self) -> list[str]:
        """Wait until the policy's DAGs are listed, and switch them on; give their ids."""
        from vmferry.policy.load import load
        from vmferry.policy.resolve import resolve

        ids = [vm.dag_id for vm in resolve(load(self.policy_file))]
        self.api.wait_for_dags(*ids)
        for dag_id in ids:
            self.api.switch_on(dag_id)
        return ids


@contextmanager
def installation(directory: Path, **settings: str) -> Iterator[Installation]:
    """Start it all; stop it all. `settings` are for Airflow, as it names them in an environment."""
    with told_installation(directory, settings) as made:
        yield made


@contextmanager
def told_installation(
    directory: Path,
    settings: Mapping[str, str],
    *,
    home: AirflowHome | None = None,
    prepare: Callable[[OvirtLab, OvirtLab], None] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Installation]:
    """Do the same. `prepare` fills the sites while Airflow starts; `tell` hears how far it is; `home`: no SQLite."""
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        sites = pool.submit(start_sites, directory, prepare)
        stack.callback(stop_sites, sites)
        home = home or AirflowHome(
            directory / "airflow",
            {"vmferry": ROOT / "dags", "rendered": directory / "rendered"},
            settings={
                "AIRFLOW__VMFERRY__POLICY_FILE": str(directory / "variables.json"),
                "AIRFLOW__VMFERRY__RENDERED_DAGS": str(directory / "rendered"),
                **settings,
            },
            tell=tell,
        )
        api = stack.enter_context(airflow_running(home))
        made = Installation(directory, *sites.result(), home, api)
        for site, lab in zip(SITES, (made.production, made.recovery), strict=True):
            connect(api, site, lab)
        tell("Airflow: is up, and reads the DAG files")
        api.wait_for_dags("generate_complete_dynamic_dags", "restore_vm", "dr_drill")
        for dag_id in ("generate_complete_dynamic_dags", "restore_vm", "dr_drill"):
            api.switch_on(dag_id)
        yield made


def start_sites(
    directory: Path, prepare: Callable[[OvirtLab, OvirtLab], None] | None = None
) -> tuple[OvirtLab, OvirtLab]:
    """Start the two simulated sites, production and DR."""
    with ExitStack() as stack:
        labs = (
            stack.enter_context(OvirtLab(directory / "prod", "prod")),
            stack.enter_context(OvirtLab(directory / "dr", "dr")),
        )
        if prepare is not None:
            prepare(*labs)
        stack.pop_all()
        return labs


def stop_sites(sites: Future[tuple[OvirtLab, OvirtLab]]) -> None:
    """Stop them, if they ever started."""
    if sites.exception() is None:
        for lab in sites.result():
            lab.close()


def write_policy(path: Path, production: OvirtLab, recovery: OvirtLab, vault: Path, **more: Any) -> None:
    """Write a policy that says where the sites and the vault are, and `more`; passwords are in the connections."""
    said = {
        "source_ovirt_url": production.url,
        "source_ovirt_user": production.user,
        "source_ovirt_cert_path": str(production.ca),
        "target_ovirt_url": recovery.url,
        "target_ovirt_user": recovery.user,
        "target_ovirt_cert_path": str(recovery.ca),
        "backup_directory": str(vault),
        "restore_settings": {
            "target_cluster_name": "Default", "target_storage_domain_name": f"{recovery.name}-data",
        },
    }  # fmt: skip
    path.write_text(json.dumps({**said, **more}, indent=2))


def connect(api: AirflowApi, site: str, lab: OvirtLab) -> None:
    """Store the connection of a site, as an admin does in the form."""
    api.add_connection(f"vmferry_{site}", **describe_connection(lab))


def describe_connection(lab: OvirtLab) -> dict[str, Any]:
    """Give what an admin types into the form of a site's connection."""
    return {
        "conn_type": "vmferry_ovirt",
        "host": lab.url,
        "login": lab.user,
        "password": lab.password_secret,
        "extra": {"ca_file": str(lab.ca)},
    }


def wait_until(is_so: Callable[[], bool], what: str, *, timeout_s: float = 300.0) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.5)


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
