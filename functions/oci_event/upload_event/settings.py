# SPDX-License-Identifier: Apache-2.0
"""The function's configuration, as checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from upload_event.errors import BadSettings

SUFFIXES = (".qcow2", ".vmdk", ".vhd", ".vhdx", ".vdi", ".raw", ".img", ".raw.gz", ".raw.xz", ".raw.zst")
"""Of objects that are disk images, when IMAGE_SUFFIXES does not say."""
_CA_BESIDE_US = Path(__file__).resolve().parent.parent / "airflow-ca.pem"
_REQUIRED = ("AIRFLOW_URL", "AIRFLOW_USER", "AIRFLOW_SECRET_OCID")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Airflow is, who we are there, and which objects matter."""

    airflow_url: str
    user: str
    secret_ocid: str
    dag_id: str = "oci_disk_import"
    ca_pem: str | None = None
    suffixes: tuple[str, ...] = SUFFIXES
    ignored_prefixes: tuple[str, ...] = ()
    object_storage_endpoint: str | None = None
    secrets_endpoint: str | None = None

    def wants(self, name: str) -> bool:
        """Whether an object of this name is a disk image that somebody uploaded."""
        return name.lower().endswith(self.suffixes) and not name.startswith(self.ignored_prefixes or ("\0",))


def read_settings(config: Mapping[str, str]) -> Settings:
    """Check the configuration; raises with all that is missing."""
    missing = [name for name in _REQUIRED if not config.get(name, "").strip()]
    if missing:
        raise BadSettings(f"the function's configuration lacks {', '.join(missing)}", fix="set it and call again")
    return Settings(
        airflow_url=_checked_url(config["AIRFLOW_URL"].strip(), config.get("AIRFLOW_ALLOW_HTTP", "")),
        user=config["AIRFLOW_USER"].strip(),
        secret_ocid=config["AIRFLOW_SECRET_OCID"].strip(),
        dag_id=config.get("AIRFLOW_DAG_ID", "").strip() or "oci_disk_import",
        ca_pem=config.get("AIRFLOW_CA_PEM", "").strip() or _ca_beside_us(),
        suffixes=_list_of(config, "IMAGE_SUFFIXES", SUFFIXES),
        ignored_prefixes=_list_of(config, "IGNORED_PREFIXES", ()),
        object_storage_endpoint=config.get("OBJECT_STORAGE_ENDPOINT") or None,
        secrets_endpoint=config.get("SECRETS_ENDPOINT") or None,
    )


def _checked_url(url: str, allow_http: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise BadSettings("AIRFLOW_URL is not a web address", fix="write it as https://airflow.example.com")
    if parts.scheme == "http" and allow_http.lower() != "yes":
        raise BadSettings(
            "AIRFLOW_URL is http: Airflow's password would cross the network in clear",
            fix="use https, or set AIRFLOW_ALLOW_HTTP to yes on a network you trust",
        )
    return url.rstrip("/")


def _list_of(config: Mapping[str, str], name: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    listed = tuple(one.strip() for one in config.get(name, "").split(",") if one.strip())
    return tuple(one.lower() for one in listed) if name == "IMAGE_SUFFIXES" and listed else listed or otherwise


def _ca_beside_us() -> str | None:
    return _CA_BESIDE_US.read_text() if _CA_BESIDE_US.is_file() else None
