# SPDX-License-Identifier: Apache-2.0
"""What Airflow asks a provider for: connection forms, operators, links, settings. Imports nothing of Airflow's."""

from __future__ import annotations

from typing import Any

from vmferry import __version__

_TEXT = {"type": ["string", "null"]}
_CA_FIELDS = {
    "ca_file": ("CA certificate", "File on the workers (PEM) of whom to trust; the system's when empty.", _TEXT),
    "ca_fingerprint": (
        "CA fingerprint (SHA-256)",
        "The authority must be this one, wherever it came from. Without a file it is fetched and compared.",
        _TEXT,
    ),
}  # fmt: skip
_OFFERED = frozenset({"vmferry_ovirt", "vmferry_oci", "vmferry_openstack", "vmferry_ssh"})
"""Whose hook gives something that works: a form for a platform that nothing can use yet misleads."""
_INTEGRATIONS = {
    "oVirt / OLVM": "https://www.ovirt.org/",
    "VMware vSphere": "https://www.vmware.com/products/cloud-infrastructure/vsphere",
    "VMware Workstation": "https://www.vmware.com/products/desktop-hypervisor/workstation-and-fusion",
    "OpenStack": "https://www.openstack.org/",
    "Oracle Cloud Infrastructure": "https://www.oracle.com/cloud/",
    "Conversion host": "https://www.openssh.com/",
}


def get_provider_info() -> dict[str, Any]:
    """Give it all; the schema is ``provider_info.schema.json`` of Airflow."""
    offered = [one for one in _CONNECTIONS if one["type"] in _OFFERED]
    return {
        "package-name": "airflow-provider-vmferry",
        "name": "vmferry",
        "description": "Back up, restore, migrate and import virtual machines' disks, with proof.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": name, "external-doc-url": url, "tags": ["service"]}
            for name, url in _INTEGRATIONS.items()
            if name in {one["_integration"] for one in offered}
        ],
        "operators": [{"integration-name": "oVirt / OLVM", "python-modules": ["vmferry.operators.backup",
                       "vmferry.operators.restore", "vmferry.operators.vault"]}],
        "sensors": [{"integration-name": "oVirt / OLVM", "python-modules": ["vmferry.sensors.vault"]}],
        "hooks": [
            {"integration-name": one["_integration"], "python-modules": [one["_module"]]} for one in offered
        ],
        "triggers": [
            {"integration-name": "Conversion host", "python-modules": ["vmferry.triggers.job"]},
            {"integration-name": "Oracle Cloud Infrastructure", "python-modules": ["vmferry.triggers.worker"]},
        ],
        "connection-types": [_connection_type(one) for one in offered],
        "extra-links": ["vmferry.links.engine.EngineLink", "vmferry.links.vault.VaultLink"],
        "notifications": ["vmferry.notifications.notice.NoticeNotifier"],
        "config": {"vmferry": {"description": "vmferry: backups and migrations of VMs.", "options": _OPTIONS}},
    }  # fmt: skip


def _connection_type(one: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: {"label": label, "description": text, "schema": schema}
        for name, (label, text, schema) in one["fields"].items()
    }
    return {
        "connection-type": one["type"],
        "hook-class-name": f"{one['_module']}.{one['_class']}",
        "hook-name": one["_integration"],
        "ui-field-behaviour": {
            "hidden-fields": one["hidden"],
            "relabeling": one["labels"],
            "placeholders": one["placeholders"],
        },
        "conn-fields": fields,
    }


def _number(default: int, least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


_CONNECTIONS: tuple[dict[str, Any], ...] = (
    {
        "type": "vmferry_ovirt",
        "_integration": "oVirt / OLVM",
        "_module": "vmferry.hooks.ovirt",
        "_class": "OvirtHook",
        "hidden": ["schema"],
        # The port is shown because Airflow 3.3.2's button "Test Connection" refuses connections that have none:
        # https://github.com/apache/airflow/pull/73298
        "labels": {"host": "Engine URL", "login": "User with profile"},
        "placeholders": {
            "host": "https://manager.example.com/ovirt-engine/api",
            "port": "443",
            "login": "admin@internal",
            "ca_file": "/opt/airflow/certs/PRD/ca.pem",
        },
        "fields": {
            **_CA_FIELDS,
            "imageio_ca_file": (
                "CA certificate of the hosts",
                "Where the engine's web server has a certificate of somebody else; else the one above.",
                _TEXT,
            ),
            "workers": ("Connections per disk", "More than 4 gain nothing.", _number(4, 1, 16)),
            "timeout_s": ("Timeout of a request (s)", "The engine has no limit of its own.", _number(60, 5, 3600)),
        },
    },
    {
        "type": "vmferry_vsphere",
        "_integration": "VMware vSphere",
        "_module": "vmferry.hooks.vsphere",
        "_class": "VsphereHook",
        "hidden": ["schema"],
        "labels": {"host": "vCenter or ESXi", "login": "User"},
        "placeholders": {"host": "vcenter.example.com", "login": "backup@vsphere.local", "port": "443"},
        "fields": {**_CA_FIELDS, "datacenter": ("Datacenter", "The only one, when empty.", _TEXT)},
    },
    {
        "type": "vmferry_workstation",
        "_integration": "VMware Workstation",
        "_module": "vmferry.hooks.workstation",
        "_class": "WorkstationHook",
        "hidden": ["schema", "port", "password"],
        "labels": {"host": "Machine", "login": "User over SSH"},
        "placeholders": {"host": "desktop.example.com", "directory": "/srv/vmware"},
        "fields": {"directory": ("Directory of the VMs", "Where the .vmx files are.", _TEXT)},
    },
    {
        "type": "vmferry_openstack",
        "_integration": "OpenStack",
        "_module": "vmferry.hooks.openstack",
        "_class": "OpenstackHook",
        "hidden": ["port"],
        "labels": {"host": "Keystone URL", "login": "User or application credential id", "schema": "Project"},
        "placeholders": {"host": "https://keystone.example.com:5000/v3", "schema": "tenant", "region": "RegionOne"},
        "fields": {
            "ca_file": _CA_FIELDS["ca_file"],
            "clouds_file": (
                "clouds.yaml",
                "File on the workers, as Horizon gives it out; then only the next field counts.",
                _TEXT,
            ),
            "cloud": ("Cloud of that file", "The only one, when empty.", _TEXT),
            "region": ("Region", "The only one, when empty.", _TEXT),
            "user_domain": ("Domain of the user", "Default when empty.", _TEXT),
            "project_domain": ("Domain of the project", "Default when empty.", _TEXT),
            "auth_type": (
                "Login",
                "By password, or by an application credential, whose secret is then the password.",
                {"type": "string", "enum": ["password", "v3applicationcredential"], "default": "password"},
            ),
        },
    },
    {
        "type": "vmferry_oci",
        "_integration": "Oracle Cloud Infrastructure",
        "_module": "vmferry.hooks.oci",
        "_class": "OciHook",
        "hidden": ["schema", "port"],
        "labels": {"host": "Endpoint", "login": "User OCID", "password": "Pass phrase of the key"},
        "placeholders": {"host": "empty: that of the region", "region": "sa-saopaulo-1"},
        "fields": {
            "region": ("Region", None, _TEXT),
            "principal": (
                "Who we are",
                "A user with a key, or the instance or function we run on.",
                {"type": "string", "enum": ["user", "instance", "resource"], "default": "user"},
            ),
            "tenancy": ("Tenancy OCID", None, _TEXT),
            "fingerprint": ("Fingerprint of the API key", None, _TEXT),
            "key_file": ("Private key of the API", "File on the workers (PEM).", _TEXT),
            "compartments": ("Compartments", "OCIDs where the janitor looks, separated by commas.", _TEXT),
            "ssh_key_file": ("SSH key for workers", "Private key without a passphrase; a file on the workers.", _TEXT),
            "ssh_user": (
                "SSH user of workers",
                "opc on Oracle Linux, ubuntu on Ubuntu.",
                {"type": "string", "default": "opc"},
            ),
            "ssh_port": ("SSH port of workers", None, _number(22, 1, 65535)),
            "ca_file": ("CA certificate", "File on the workers, where a proxy has one of its own.", _TEXT),
        },
    },
    {
        "type": "vmferry_ssh",
        "_integration": "Conversion host",
        "_module": "vmferry.hooks.ssh",
        "_class": "SshHostHook",
        "hidden": ["schema", "password"],
        "labels": {"host": "Machine", "login": "User"},
        "placeholders": {"host": "convert1.example.com", "login": "vmferry", "port": "22"},
        "fields": {
            "identity": ("Private key", "File on the workers; the agent's keys when empty.", _TEXT),
            "known_hosts": ("Known hosts", "File on the workers with the host keys to trust.", _TEXT),
            "options": ("More of ssh_config", "As ProxyJump=bastion, separated by blanks.", _TEXT),
            "python": ("Python", "Python 3.9 or later of that machine.", {"type": "string", "default": "python3"}),
            "verify_host_key": ("Check the host key", None, {"type": "boolean", "default": True}),
        },
    },
)  # fmt: skip


def _option(text: str, default: str | None, kind: str = "string") -> dict[str, Any]:
    return {"description": text, "version_added": __version__, "type": kind, "example": None, "default": default}


_OPTIONS = {
    "policy_file": _option(
        "What is backed up, restored and migrated, and how; AIRFLOW_HOME/variables.json if empty.", ""
    ),
    "template_directory": _option("Where backup.py.j2 is; the one that comes with vmferry if empty.", ""),
    "rendered_dags": _option(
        "Where the DAGs of the policy's VMs are written; AIRFLOW_HOME/dags/rendered if empty.", ""
    ),
    "certificates": _option("Where CA certificates are kept that were fetched; AIRFLOW_HOME/certs if empty.", ""),
}
