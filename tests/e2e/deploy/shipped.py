"""An Airflow from what is shipped: what the Dockerfile installs, with environment and commands of docker-compose.yaml.

Changed are only names that mean something between containers alone (hosts, ports, /opt/airflow), and how long the DAG
processor waits before it looks again.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from lab.airflow.airflow_home import HEALTHY_S, PARTS, AirflowHome, free_ports
from tests.e2e.deploy.compose import Compose

HASTE = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
}


class ShippedHome(AirflowHome):
    """One installation; its parts are services of the compose file."""

    def __init__(self, directory: Path, image: Path, compose: Compose, *, postgresql: str, redis: str) -> None:
        super().__init__(directory / "airflow", {})
        self.compose = compose
        self.password = compose.settings["ADMIN_PASSWORD"]
        self._image = image
        self._directory = directory
        self._names = {
            "@postgres:5432": f"@{postgresql}",
            "@redis:6379": f"@{redis}",
            "http://api-server:8080": self.url,
            "/opt/airflow/policy": str(directory),
            "/opt/airflow": str(self.home),
            "/opt/vmferry": str(image),
            "/run/vmferry": str(directory / "run"),
        }
        ports = ("LOGGING__WORKER_LOG", "LOGGING__TRIGGER_LOG", "SCHEDULER__SCHEDULER_HEALTH_CHECK")
        self._ports = {
            f"AIRFLOW__{name}_SERVER_PORT": str(port) for name, port in zip(ports, free_ports(3), strict=True)
        }

    def prepare(self) -> None:
        """Make the directories of the volumes, and do what the service airflow-init does."""
        for path in (self._directory / "vault", self._directory / "run"):
            path.mkdir()
        (self.home / "backups").symlink_to(self._directory / "vault")
        for name in ("certs", "logs", "rendered"):
            (self.home / name).mkdir()
        (self._directory / "variables.json").write_text("{}")
        done = self._run_in("airflow-init", self._local(self.compose.command("airflow-init")))
        if done.returncode != 0:
            raise RuntimeError(f"airflow-init: {done.stdout[-3000:]}{done.stderr[-3000:]}")

    def change(self, **settings: str) -> None:
        """Write other values into .env, and restart what that changes: all of Airflow."""
        self.stop()
        self.compose.settings.update(settings)
        for part in PARTS:
            self.start_part(part)
        self.wait_until_healthy()

    def start_part(self, part: str) -> int:
        """Start a service."""
        command = [*self.program(), *self._local(self.compose.command(part)), *self._options(part)]
        return self.start_program(part, command, self.service_environment(part))

    def start_worker(self, service: str, home: Path, *options: str) -> None:
        """Start a worker as on a machine of its own, and wait until its health check is content."""
        home.mkdir()
        command = [*self.program(), *self._local(self.compose.command(service)), *options]
        self.start_program(service, command, {**self.service_environment(service), "AIRFLOW_HOME": str(home)})
        deadline = time.monotonic() + HEALTHY_S
        while not self.is_healthy(service):
            if self.fallen_parts() or time.monotonic() > deadline:
                raise RuntimeError(f"{service} is not healthy: {self.component_logs()}")
            time.sleep(0.5)

    def is_healthy(self, service: str) -> bool:
        """Ask the health check of the compose file."""
        return self._run_in(service, self._local(self.compose.health_check(service))).returncode == 0

    def program(self) -> list[str]:
        """Give how the command airflow is started."""
        return [str(self._image / "venv/bin/airflow")]

    def environment(self) -> dict[str, str]:
        """Give the environment of a command of an admin."""
        return self.service_environment("scheduler")

    def service_environment(self, service: str) -> dict[str, str]:
        """Give all that a service has in its environment: nothing of ours but PATH."""
        path = os.pathsep.join([str(self._image / "venv/bin"), str(self._image / "bin"), os.environ["PATH"]])
        shipped = self.compose.environment(service)
        local = dict(zip(shipped, self._local(list(shipped.values())), strict=True))
        home = {"AIRFLOW_HOME": str(self.home), "HOME": str(self.home), "HOSTNAME": os.uname().nodename}
        return {"PATH": path, "LANG": "C.UTF-8", **home, **local, **self._ports, **HASTE}

    def _local(self, words: list[str]) -> list[str]:
        return [_replace(word, self._names) for word in words]

    def _run_in(self, service: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        # A session of its own has no terminal to ask for a password.
        return subprocess.run(
            command, env=self.service_environment(service), cwd=self.home, capture_output=True, text=True,
            timeout=600, start_new_session=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _replace(word: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        word = word.replace(old, new)
    return word
