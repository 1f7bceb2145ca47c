"""A real PostgreSQL on loopback, with a database for Airflow, in a directory of its own that goes when it stops."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.airflow.airflow_home import LEASH, free_ports

READY_S = 120.0
USER = "airflow"


class PostgreSql:
    """One cluster. It ends with this process, and never runs as root: as root it refuses to."""

    def __init__(self, password: str | None = None) -> None:
        self.password = password or secrets.token_hex(16)
        (self.port,) = free_ports(1)
        self._programs = _find_programs()
        self._directory: Path | None = None
        self._leash: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Give host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Make the cluster, start it, and make the database."""
        # The user postgres must be able to reach it: below a test's own directory it could not.
        self._directory = Path(tempfile.mkdtemp(prefix="vmferry-postgresql-"))
        secret = self._directory / "password"
        secret.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self._directory, secret):
                shutil.chown(path, "postgres", "postgres")
        data = self._directory / "data"
        self._run("initdb", f"--pgdata={data}", f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256")
        command = [
            str(self._programs / "postgres"), "-D", str(data), "-p", str(self.port), "-k", str(self._directory),
            "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=100",
        ]  # fmt: skip
        with (self._directory / "log").open("ab") as log:
            self._leash = subprocess.Popen(
                [sys.executable, "-P", str(LEASH), *_as_postgres(), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()
        self._run("createdb", *self._where(), "airflow")

    def query(self, statement: str, database: str = "airflow") -> str:
        """Ask the database and give what it says, a row a line."""
        return self._run("psql", *self._where(), "--no-psqlrc", "-At", f"--command={statement}", database).strip()

    def copy(self, database: str) -> None:
        """Copy Airflow's database into a new one, as docs/metadata.md says: a dump, and that restored."""
        dump = f"{self._directory}/airflow.dump"
        self._run("pg_dump", *self._where(), "--format=custom", f"--file={dump}", "airflow")
        self._run("createdb", *self._where(), database)
        into = [f"--dbname={database}", "--clean", "--if-exists", "--no-owner", "--exit-on-error"]
        self._run("pg_restore", *self._where(), *into, dump)

    def stop(self) -> None:
        """End it, now: clients are not waited for."""
        assert self._directory is not None
        if self._leash is not None:
            with contextlib.suppress(OSError, ValueError):
                pid = int((self._directory / "data/postmaster.pid").read_text().splitlines()[0])
                os.kill(pid, signal.SIGINT)
            self._leash.terminate()
            self._leash.wait()
        shutil.rmtree(self._directory)

    def _where(self) -> list[str]:
        return ["--host=127.0.0.1", f"--port={self.port}", f"--username={USER}"]

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*_as_postgres(), str(self._programs / program), *arguments],
            env={"PATH": os.environ["PATH"], "PGPASSWORD": self.password, "LC_ALL": "C.UTF-8"},
            cwd="/", capture_output=True, text=True, timeout=READY_S,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")
        return done.stdout

    def _wait(self) -> None:
        assert self._directory is not None
        assert self._leash is not None
        deadline = time.monotonic() + READY_S
        ready = [str(self._programs / "pg_isready"), "-q", *self._where()]
        while subprocess.run(ready).returncode != 0:
            if self._leash.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start: {(self._directory / 'log').read_text()[-2000:]}")
            time.sleep(0.2)


@contextlib.contextmanager
def postgresql_running(password: str | None = None) -> Iterator[PostgreSql]:
    """Run one for the length of a block."""
    made = PostgreSql(password)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _find_programs() -> Path:
    """Debian puts them where PATH does not look, by version; the newest is ours."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise RuntimeError("there is no PostgreSQL here: install the package postgresql")
    return found[-1]


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
