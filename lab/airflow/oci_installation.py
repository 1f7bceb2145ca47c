"""A simulated Oracle Cloud, a real Airflow that imports from its bucket, the real function that hears of uploads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.airflow.airflow_api import AirflowApi
from lab.airflow.airflow_home import ROOT, AirflowHome, airflow_running
from lab.oci.function import FunctionProcess
from lab.oci.lab import OciLab

BUCKET = "uploads"
IMPORT, SEARCH = "oci_disk_import", "oci_find_uploads"
JANITOR = "janitor"
_NEEDED = ("oci_*.py", "janitor.py")


@dataclass(frozen=True, slots=True)
class OciInstallation:
    """Everything that runs."""

    directory: Path
    lab: OciLab
    home: AirflowHome
    api: AirflowApi
    function: FunctionProcess

    def write_policy(self, **rule: Any) -> None:
        """Write the policy; `rule` is laid over the rule of the bucket."""
        plain = {
            "site": "oci",
            "bucket": BUCKET,
            "compartment": self.lab.compartment,
            "worker": {"subnet": self.lab.subnet, "image": self.lab.image},
        }
        policy = {
            "backup_directory": str(self.directory / "vault"),
            "sites": {"oci": {"type": "oci", "connection": "vmferry_oci"}},
            "imports": {"uploads": {**plain, **rule}},
        }
        (self.directory / "variables.json").write_text(json.dumps(policy, indent=2))

    def upload(self, name: str, content: bytes | Path, **metadata: str) -> str:
        """Upload an object, as a person does; its event goes its way. Gives its etag."""
        return self.lab.put_object(BUCKET, name, content, metadata)


@contextmanager
def oci_installation(
    directory: Path, *, tell: Callable[[str], None] = lambda _: None, delay: float = 0.2, **settings: str
) -> Iterator[OciInstallation]:
    """Start it all; stop it all. `settings` are for Airflow, as it names them in an environment."""
    key = directory / "id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL
    )
    with OciLab(directory / "oci", delay=delay) as lab:
        lab.create_bucket(BUCKET)
        home = AirflowHome(
            directory / "airflow",
            {"vmferry": _dags(directory)},
            settings={
                "AIRFLOW__VMFERRY__POLICY_FILE": str(directory / "variables.json"),
                "AIRFLOW__VMFERRY__RETRY_DELAY_S": "5",
                **settings,
            },
            tell=tell,
        )
        with airflow_running(home) as api:
            api.add_connection("vmferry_oci", **describe_connection(lab, key))
            config = {
                "AIRFLOW_URL": home.url, "AIRFLOW_ALLOW_HTTP": "yes", "AIRFLOW_USER": "admin",
                "AIRFLOW_SECRET_OCID": lab.add_secret("airflow", home.password), "IGNORED_PREFIXES": "imported/",
            }  # fmt: skip
            with FunctionProcess(lab, directory / "function", **config) as function:
                made = OciInstallation(directory, lab, home, api, function)
                made.write_policy()
                api.wait_for_dags(IMPORT, SEARCH)
                api.switch_on(IMPORT)
                yield made


def describe_connection(lab: OciLab, ssh_key: Path) -> dict[str, Any]:
    """Give what an admin types into the form of the site's connection."""
    return {
        "conn_type": "vmferry_oci",
        "host": lab.endpoint,
        "login": lab.config["user"],
        "extra": {
            "region": lab.config["region"],
            "tenancy": lab.config["tenancy"],
            "fingerprint": lab.config["fingerprint"],
            "key_file": lab.config["key_file"],
            "compartments": lab.compartment,
            "ssh_key_file": str(ssh_key),
            "ssh_port": str(lab.ssh_port),
            "ca_file": str(lab.ca),
            "poll_s": "1",
        },
    }


def _dags(directory: Path) -> Path:
    """Give a folder with the DAGs of imports and the janitor: the others would only cost time here."""
    folder = directory / "dags"
    folder.mkdir(exist_ok=True)
    for pattern in _NEEDED:
        for path in (ROOT / "dags").glob(pattern):
            (folder / path.name).symlink_to(path)
    return folder
