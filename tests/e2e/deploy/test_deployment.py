"""What is shipped runs: the image's installation on PostgreSQL, with the environment of docker-compose.yaml.

Tasks run beside the scheduler, then on an Edge worker as at another site, then on a Celery worker: the same
installation, its .env edited as docs/scaling.md says.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.airflow.airflow_home import PARTS, ROOT
from lab.airflow.installation import Installation, add_vm, told_installation, wait_until
from lab.airflow.postgresql import PostgreSql, postgresql_running
from lab.airflow.redis import redis_running
from tests.e2e.deploy.compose import Compose, read_settings
from tests.e2e.deploy.image import build_image
from tests.e2e.deploy.shipped import ShippedHome

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

EDGE = "airflow.providers.edge3.executors.EdgeExecutor"
VM = "web01"
DAG = f"backup_{VM}"


@dataclass(frozen=True, slots=True)
class Shipped:
    made: Installation
    home: ShippedHome
    database: PostgreSql
    directory: Path

    def back_up(self, **site: str) -> list[dict[str, Any]]:
        """Run one backup with the policy's site as said, and give its tasks."""
        self.made.write_policy(sites={"source": {"type": "ovirt", **site}}, vms_config={VM: {}})
        self.made.render()
        wait_until(lambda: self._is_seen(site.get("queue", "default")), "the DAG with the new policy")
        return self.made.api.tasks(DAG, self.made.run(DAG))

    def _is_seen(self, queue: str) -> bool:
        found = self.made.api.call("GET", f"/api/v2/dags/{DAG}/tasks")["tasks"]
        return {task["queue"] for task in found if task["task_id"] == "backup_vm_disks"} == {queue}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    directory = tmp_path_factory.mktemp("shipped")
    subprocess.run([str(ROOT / "scripts/new_env.sh"), "/srv/backups", str(directory / "env")], check=True)
    compose = Compose(ROOT, read_settings(directory / "env"))
    image = build_image(ROOT, directory / "image")
    with (
        postgresql_running(compose.settings["POSTGRES_PASSWORD"]) as database,
        redis_running(directory / "redis", compose.settings["REDIS_PASSWORD"]) as redis,
    ):
        home = ShippedHome(directory, image, compose, postgresql=database.address, redis=redis)
        with told_installation(directory, {}, home=home) as made:
            add_vm(made.production, directory, VM)
            yield Shipped(made, home, database, directory)


def test_a_backup_runs_beside_the_scheduler_on_postgresql(shipped: Shipped) -> None:
    tasks = shipped.back_up()

    assert {task["state"] for task in tasks} == {"success"}
    assert shipped.database.query(f"select count(*) from dag_run where dag_id = '{DAG}' and state = 'success'") == "1"
    assert [one.name for one in (shipped.made.vault / VM).glob("*_full")] != []


def test_a_copy_of_the_database_has_all_that_it_had(shipped: Shipped) -> None:
    everything = "select conn_id, password from connection order by 1"
    history = "select dag_id, run_id, state from dag_run where state = 'success' order by 1, 2"
    tables = "select tablename from pg_tables where schemaname = 'public' order by 1"
    said = [shipped.database.query(one) for one in (everything, history, tables)]

    shipped.database.copy("airflow_again")

    assert [shipped.database.query(one, "airflow_again") for one in (everything, history, tables)] == said
    assert all(said)


def test_every_part_is_found_healthy_and_one_that_is_down_is_not(shipped: Shipped) -> None:
    assert [part for part in PARTS if not shipped.home.is_healthy(part)] == []

    shipped.home.stop_part("api-server")

    assert not shipped.home.is_healthy("api-server")


def test_a_backup_runs_on_an_edge_worker_that_cannot_see_the_database(shipped: Shipped) -> None:
    shipped.home.change(AIRFLOW_EXECUTOR=f"LocalExecutor,{EDGE}", EDGE_API_ENABLED="True", EDGE_QUEUES="branch")
    shipped.home.start_worker("edge-worker", shipped.directory / "branch", "--edge-hostname", "worker-at-branch")

    tasks = shipped.back_up(queue="branch", executor=EDGE)

    ran = {task["task_id"]: task["hostname"] for task in tasks if task["hostname"]}
    assert {"create_vm_snapshot", "backup_vm_disks", "cleanup_snapshot"} <= ran.keys()
    assert set(ran.values()) == {"worker-at-branch"}
    environment = shipped.home.service_environment("edge-worker")
    kept = (
        shipped.database.address,
        *(shipped.home.compose.settings[name] for name in ("POSTGRES_PASSWORD", "FERNET_KEY")),
    )
    assert [name for name, value in environment.items() if any(secret in value for secret in kept)] == []

    shipped.home.stop_part("edge-worker")

    assert not shipped.home.is_healthy("edge-worker")


def test_a_backup_runs_on_a_celery_worker(shipped: Shipped) -> None:
    shipped.home.change(AIRFLOW_EXECUTOR="CeleryExecutor", EDGE_API_ENABLED="False")
    shipped.home.start_worker("celery-worker", shipped.directory / "celery")

    tasks = shipped.back_up()

    assert {task["state"] for task in tasks} == {"success"}
    # No task runs without a worker, and this one says what it did.
    log = (shipped.home.home / "celery-worker.log").read_text()
    assert log.count("succeeded in") >= len(tasks)

    shipped.home.stop_part("celery-worker")

    assert not shipped.home.is_healthy("celery-worker")
