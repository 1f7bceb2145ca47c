"""A real Airflow on loopback: API server, scheduler, DAG processor and triggerer, on SQLite, in a directory of its own.

Each part is started by itself, on a leash: `airflow standalone` leaves orphans behind that go on answering on its port.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.airflow.airflow_api import AirflowApi

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
HEALTHY_S = 600.0
"""A small machine under load takes a minute."""
_SILENCE_S = 8.0
_LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
ROOT = Path(__file__).resolve().parent.parent.parent
LEASH = Path(__file__).with_name("leash.py")


class AirflowHome:
    """One installation; `start` makes it run and `stop` ends all of it."""

    def __init__(
        self,
        home: Path,
        dag_folders: Mapping[str, Path],
        *,
        settings: Mapping[str, str] | None = None,
        keep_away: Sequence[str] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home
        self.password = secrets.token_urlsafe(12)
        self.port, self._log_port, self._trigger_log_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self._dag_folders = dag_folders
        self._settings = dict(settings or {})
        self._tell = tell
        self._parts = tuple(part for part in PARTS if part not in keep_away)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._secret = secrets.token_hex(32)
        self._fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

    def start(self) -> AirflowApi:
        """Make the database, start every part and wait until all are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({"admin": self.password}))
        for folder in self._dag_folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self._tell(f"Airflow: starting {', '.join(self._parts)}")
        for part in self._parts:
            self.start_part(part)
        api = self.wait_until_healthy()
        api.log_in()
        return api

    def prepare(self) -> None:
        """Make the database."""
        self._tell("Airflow: making its database (SQLite)")
        self.run("db", "migrate")

    def wait_until_healthy(self) -> AirflowApi:
        """Wait until every part reports."""
        api = AirflowApi(self.url, "admin", self.password)
        self._wait(api)
        return api

    def run(self, *arguments: str, timeout_s: float = 300.0) -> str:
        """Run one command of Airflow to its end and give what it printed."""
        done = subprocess.run(
            [*self.program(), *arguments],
            env=self.environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if done.returncode != 0:
            raise RuntimeError(f"airflow {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def start_part(self, part: str) -> int:
        """Start one part and give its process id."""
        return self.start_program(part, [*self.program(), part, *self._options(part)], self.environment())

    def start_program(self, part: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start something that belongs to it, as what `part` names, and give its process id."""
        with (self.home / f"{part}.log").open("ab") as log:
            self._running[part] = subprocess.Popen(
                [sys.executable, "-P", str(LEASH), *command],
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for us: we end the parts in our own order
            )
        return self._running[part].pid

    def kill_part(self, part: str, *, alone: bool = False) -> None:
        """Kill one part hard, its children with it, as a machine that goes down would.

        `alone`: only its main process is killed so, and the leash ends the others, as systemd would.
        """
        leash = self._running.pop(part)
        for pid in _children(leash.pid):
            with contextlib.suppress(ProcessLookupError):
                (os.kill if alone else os.killpg)(pid, signal.SIGKILL)
        leash.wait()

    def part_pid(self, part: str) -> int:
        """Give the process below which a part runs: its leash."""
        return self._running[part].pid

    def fallen_parts(self) -> list[str]:
        """Name the parts that were started and have ended by themselves."""
        return [part for part, leash in self._running.items() if leash.poll() is not None]

    def stop(self) -> None:
        """End every part: first the one that starts tasks. The leash is hard on those that do not listen."""
        workers = sorted(self._running.keys() - set(PARTS))
        for parts in (("scheduler",), workers, ("triggerer", "dag-processor", "api-server")):
            ending = [self._running.pop(part) for part in parts if part in self._running]
            for process in ending:
                process.terminate()
            for process in ending:
                process.wait()

    def stop_part(self, part: str) -> None:
        """End one part, if it runs."""
        process = self._running.pop(part, None)
        if process is not None:
            process.terminate()
            process.wait()

    def program(self) -> list[str]:
        """Give how the command airflow is started."""
        return [sys.executable, "-m", "airflow"]

    def environment(self) -> dict[str, str]:
        """Give the environment of its processes."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        # Some machines forbid bytecode: then every task of Airflow compiles thousands of modules again.
        own.pop("PYTHONDONTWRITEBYTECODE", None)
        own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', '')}"
        own["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT / "provider", ROOT)))
        return {**own, **self._configuration(), **self._settings}

    def component_logs(self) -> str:
        """Give what the parts printed, for the message of a test that failed."""
        logs = sorted(self.home.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def _configuration(self) -> dict[str, str]:
        named = {
            "CORE__LOAD_EXAMPLES": "False",
            # Who finds it locked waits: after SQLite's own 5 s, parts of Airflow end on a busy machine.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home.resolve() / 'airflow.db'}?timeout=120",
            "CORE__PARALLELISM": "4",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": self._secret,
            "API__SECRET_KEY": self._secret,
            "CORE__FERNET_KEY": self._fernet_key,
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": describe_bundles(self._dag_folders),
            "DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            # New and changed files are parsed at once all the same.
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_port),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._trigger_log_port),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            # 5 s is not enough on a busy machine: tasks then die before they begin.
            "WORKERS__EXECUTION_API_TIMEOUT": "60",
            # An API server that is started again, two minutes under load, must not cost every task a try.
            "WORKERS__EXECUTION_API_RETRIES": "9",
        }
        return {"AIRFLOW_HOME": str(self.home), **{f"AIRFLOW__{name}": value for name, value in named.items()}}

    def _options(self, part: str) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(self.port)] if part == "api-server" else []

    def _wait(self, api: AirflowApi, timeout_s: float = HEALTHY_S) -> None:
        """Wait until every part answers, and say which does not yet."""
        deadline, missing = time.monotonic() + timeout_s, self._parts
        tell_at = time.monotonic() + _SILENCE_S
        while missing:
            dead = [part for part, process in self._running.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                why = f"{', '.join(dead)} died" if dead else f"no answer of {', '.join(missing)} for {timeout_s:g} s"
                raise RuntimeError(f"Airflow in {self.home} does not start: {why}\n{self.component_logs()}")
            time.sleep(0.5)
            missing = api.unhealthy(self._parts)
            if missing and time.monotonic() > tell_at:
                self._tell(f"Airflow: waiting for {', '.join(missing)}")
                tell_at = time.monotonic() + _SILENCE_S


@contextlib.contextmanager
def airflow_running(home: AirflowHome) -> Iterator[AirflowApi]:
    """Run an Airflow for the length of a block."""
    try:
        yield home.start()
    finally:
        home.stop()


def describe_bundles(folders: Mapping[str, Path]) -> str:
    """Say to Airflow where DAG files are, as it wants to hear it."""
    return json.dumps([
        {"name": name, "classpath": _LOCAL_BUNDLE, "kwargs": {"path": str(path), "refresh_interval": 2}}
        for name, path in folders.items()
    ])  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Give ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in opened]


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
