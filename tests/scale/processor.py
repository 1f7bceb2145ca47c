"""A real `airflow dag-processor` over the rendered files: what it has listed, and what it has used up."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab.airflow.airflow_home import AirflowHome
from tests.scale.crowd import Cost, measure

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PART = "dag-processor"
_SETTINGS = {
    # As docs/airflow.md says for many VMs: a file is read again when it changes.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
}


class Processor:
    """One of them, with a database of its own."""

    def __init__(self, home: Path, rendered: Path) -> None:
        rendered.mkdir(parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        # Installed packages are compiled already: nobody compiles them anew for each file, and so do we not.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(home.parent / "compiled")}
        self.airflow = AirflowHome(home, {"rendered": rendered}, settings={**_SETTINGS, **compiled})
        self.airflow.run("db", "migrate")
        self._database = home / "airflow.db"
        self._pid = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of a block."""
        self._pid = self.airflow.start_part(_PART)
        try:
            yield
        finally:
            self.airflow.stop()

    def run_once(self) -> Cost:
        """Let it look at every file once and end."""
        program = [sys.executable, "-m", "airflow", _PART, "--num-runs", "1"]
        return measure(program, self.airflow.environment())

    def cpu_s(self) -> float:
        """Count what it and its children, those that have ended too, have used up so far."""
        return sum(_used_s(pid) for pid in _tree(self._pid))

    def listed(self) -> int:
        """Count the DAGs that are in the database, ready to be scheduled."""
        (count,) = self._ask("select count(distinct dag_id) from serialized_dag")[0]
        return int(count)

    def parsed(self) -> dict[str, str]:
        """Tell of every file when it was read last."""
        return dict(self._ask("select relative_fileloc, max(last_parsed_time) from dag group by relative_fileloc"))

    def looked(self) -> str:
        """Tell when it last looked for files that changed."""
        (moment,) = self._ask("select last_refreshed from dag_bundle where name = 'rendered'")[0]
        return str(moment)

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s:g} s for {what}\n{self.airflow.component_logs()}")
            time.sleep(0.5)

    def _ask(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=60)) as opened:
            return opened.execute(query).fetchall()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


def _used_s(pid: int) -> float:
    try:
        # After the name, which may hold anything, come the fields from the third on; the 14th to 17th are times.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) * _TICK_S
