"""Uploads into the simulated Oracle Cloud: what the function said to their events, what came of them, what is left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import oci
import pytest
from lab.airflow.installation import wait_until
from lab.airflow.oci_installation import BUCKET, IMPORT, OciInstallation, oci_installation
from lab.airflow.postgresql import USER, postgresql_running
from lab.oci.lab import OciLab

from vmferry.engine.units import MiB

RUN_S = 1500.0
"""For one run among many, on a machine that has other things to do."""
_GONE = {"instance": "TERMINATED", "volumeattachment": "DETACHED", "volume": "TERMINATED", "bootvolume": "TERMINATED"}


@contextmanager
def installation_for_many(directory: Path) -> Iterator[OciInstallation]:
    """Start all of it, over PostgreSQL.

    On SQLite, Airflow's API server stands still for as long as a lock may take when runs are asked for while tasks
    start: its audit log is written in the event loop, and who holds the lock needs that loop to let it go.
    """
    with postgresql_running() as database:
        address = f"postgresql+psycopg2://{USER}:{database.password}@{database.address}/airflow"
        with oci_installation(directory, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=address) as made:
            made.lab.settings(event_tries=30)  # an Airflow that is slow to answer is not what is looked at
            yield made


def object_storage(lab: OciLab) -> Any:
    """Give the SDK's own client, as a person's program has it."""
    client = oci.object_storage.ObjectStorageClient(
        lab.config, service_endpoint=lab.endpoint, retry_strategy=oci.retry.NoneRetryStrategy()
    )
    client.base_client.session.verify = str(lab.ca)
    client.base_client.session.trust_env = False
    return client


def answer_to(made: OciInstallation, etag: str) -> dict[str, Any]:
    """Wait until the function has answered the event of this version of an object, and give what it said."""
    found: list[dict[str, Any]] = []

    def is_over() -> bool:
        mine = [one for one in made.lab.events() if one["event"]["data"]["additionalDetails"]["eTag"] == etag]
        found[:] = [one for one in mine if one["state"] != "pending"]
        return bool(found)

    wait_until(is_over, f"the event of version {etag} to be delivered", timeout_s=600)
    said = found[0]["attempts"][-1]
    assert (found[0]["state"], said["status"]) == ("delivered", 200), found[0]
    answer: dict[str, Any] = json.loads(said["answer"])
    return answer


def most_at_once(made: OciInstallation, runs: list[str]) -> int:
    """Say how many of these runs ran at the same time, at most."""
    found = [made.api.find_run(IMPORT, run) for run in runs]
    moments = sorted([(one["start_date"], 1) for one in found] + [(one["end_date"], -1) for one in found])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def require_same(made: OciInstallation, volume: str, disk: Path) -> None:
    """Let qemu-img compare a volume with a raw disk: what is behind the disk has to be zeros."""
    path = made.lab.volume_path(volume)
    argv = ["qemu-img", "compare", "-f", "raw", "-F", "raw", str(disk), str(path)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (said.returncode, "identical" in said.stdout) == (0, True), said.stdout + said.stderr
    with path.open("rb") as opened, pytest.raises(OSError, match="No such device or address"):
        os.lseek(opened.fileno(), -(-disk.stat().st_size // MiB) * MiB, os.SEEK_DATA)  # nor was anything written there


def left_over(made: OciInstallation) -> list[str]:
    """List workers, attachments, volumes that no run has finished, and ways to objects: whatever is still there."""
    state = made.lab.state()
    things = [(kind, one) for kind in _GONE for one in state.get(kind, {}).values()]
    found = [
        f"{kind} {one['id']} {one['lifecycleState']}"
        for kind, one in things
        if one["lifecycleState"] != _GONE[kind] and "complete" not in one.get("freeformTags", {}).get("vmferry", "")
    ]
    ways = object_storage(made.lab).list_preauthenticated_requests(made.lab.namespace, BUCKET).data
    return found + [f"way {one.name}" for one in ways]
