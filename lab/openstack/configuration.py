"""The settings of every service, written anew at each start, so that a change here works from the next start on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from lab.openstack.place import API_PORTS, HOST, IDENTITY_URL, PASSWORD, RABBIT_PORT, REGION, Place

Sections = Mapping[str, Mapping[str, object]]

CLOUDS = ("admin", "source", "destination")
"""The projects, each with a user of the same name."""

_LOGIN = {
    "auth_type": "password",
    "auth_url": IDENTITY_URL,
    "username": "admin",
    "password": PASSWORD,
    "project_name": "admin",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
    "region_name": REGION,
}


def write_all(place: Place) -> None:
    """Write the settings of services, libvirt and clients."""
    for service, make in _SERVICES.items():
        sections = _common(place)
        for name, options in make(place).items():
            sections[name] = {**sections.get(name, {}), **options}
        _write_ini(place, service, sections)
    place.config("cinder", "shares").write_text(f"{HOST}:{place.root}/volumes\n")
    shutil.copy(place.venv / "etc/nova/api-paste.ini", place.config("nova", "api-paste.ini"))
    _write_libvirt(place)
    _write_clouds(place)


def _common(place: Place) -> dict[str, Mapping[str, object]]:
    return {
        "DEFAULT": {
            "transport_url": f"rabbit://guest:guest@{HOST}:{RABBIT_PORT}/",
            "state_path": place.root / "state",
            "my_ip": HOST,
            "host": "lab",
            "report_interval": 5,
            "graceful_shutdown_timeout": 3,
        },
        "oslo_concurrency": {"lock_path": place.root / "lock"},
        "oslo_policy": {"policy_dirs": place.root / "etc" / "none"},
        "keystone_authtoken": {**_LOGIN, "service_token_roles": "service", "service_token_roles_required": True},
        # Cinder lets nobody delete an attachment of a server but nova, which this token proves.
        "service_user": {**_LOGIN, "send_service_user_token": True},
        **{name: _LOGIN for name in ("placement", "neutron", "nova", "glance", "cinder")},
    }


def _keystone(place: Place) -> Sections:
    keys = place.config("keystone").parent
    return {
        "database": _database(place, "keystone"),
        # Cheap log-ins: a lab's passwords are no secrets.
        "identity": {"password_hash_rounds": 4},
        "fernet_tokens": {"key_repository": keys / "fernet"},
        "credential": {"key_repository": keys / "credential"},
    }


def _glance(place: Place) -> Sections:
    return {
        "DEFAULT": {"enabled_backends": "disk:file"},
        "database": _database(place, "glance"),
        "glance_store": {"default_backend": "disk"},
        "disk": {"filesystem_store_datadir": place.root / "images"},
        "paste_deploy": {"flavor": "keystone", "config_file": place.venv / "etc/glance/glance-api-paste.ini"},
    }


def _placement(place: Place) -> Sections:
    return {"placement_database": _database(place, "placement")}


def _neutron(place: Place) -> Sections:
    return {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "",
            "api_paste_config": place.venv / "etc/neutron/api-paste.ini",
            "dhcp_agent_notification": False,
        },
        "database": _database(place, "neutron"),
        "ml2": {
            "type_drivers": "local",
            "tenant_network_types": "local",
            "mechanism_drivers": "lab",
            "extension_drivers": "port_security",
        },
    }


def _cinder(place: Place) -> Sections:
    return {
        "DEFAULT": {
            "enabled_backends": "lab",
            "default_volume_type": "lab",
            "api_paste_config": place.venv / "etc/cinder/api-paste.ini",
            # Without its list of filters cinder refuses each `?name=`.
            "resource_query_filters_file": place.venv / "etc/cinder/resource_filters.json",
            "glance_api_servers": f"http://{HOST}:{API_PORTS['glance']}",
        },
        "database": _database(place, "cinder"),
        # LVM needs the device mapper, which machines in containers lack; NFS needs only a `mount`, and that is ours.
        "lab": {
            "volume_driver": "cinder.volume.drivers.nfs.NfsDriver",
            "volume_backend_name": "lab",
            "nfs_shares_config": place.config("cinder", "shares"),
            "nfs_mount_point_base": place.root / "mount/cinder",
            "nfs_snapshot_support": True,
            "nas_secure_file_operations": False,
            "nas_secure_file_permissions": False,
        },
    }


def _nova(place: Place) -> Sections:
    return {
        "DEFAULT": {
            "compute_driver": "libvirt.LibvirtDriver",
            "instances_path": place.root / "instances",
            "force_config_drive": True,
            "vif_plugging_is_fatal": False,
            "vif_plugging_timeout": 0,
            "manager_shutdown_timeout": 3,
        },
        "api_database": _database(place, "nova_api"),
        "database": _database(place, "nova"),
        "wsgi": {"api_paste_config": place.venv / "etc/nova/api-paste.ini"},
        # The translation cache is a gigabyte by default, which each guest would fill.
        "libvirt": {
            "virt_type": "qemu",
            "cpu_mode": "none",
            "tb_cache_size": 128,
            "connection_uri": place.libvirt,
            "nfs_mount_point_base": place.root / "mount/nova",
        },
        "vnc": {"enabled": False},
    }


_SERVICES = {
    "keystone": _keystone,
    "glance": _glance,
    "placement": _placement,
    "neutron": _neutron,
    "cinder": _cinder,
    "nova": _nova,
}


def _database(place: Place, name: str) -> dict[str, object]:
    return {"connection": f"mysql+pymysql://root@localhost/{name}?unix_socket={place.database}"}


def _write_ini(place: Place, service: str, sections: Sections) -> None:
    path = place.config(service)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for name, options in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in options.items()), ""]
    path.write_text("\n".join(lines))


def _write_libvirt(place: Place) -> None:
    settings = place.root / "libvirt" / "etc"
    (settings / "qemu.conf").write_text(
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nstdio_handler = "file"\n'
        "remember_owner = 0\nnamespaces = []\n"
    )
    (settings / "libvirtd.conf").write_text('unix_sock_dir = "/run/libvirt"\nauth_unix_rw = "none"\n')


def _write_clouds(place: Place) -> None:
    """JSON is YAML too."""
    names = ("auth_url", "password", "user_domain_name", "project_domain_name")
    common = {name: _LOGIN[name] for name in names}
    clouds = {
        name: {"auth": {**common, "username": name, "project_name": name}, "region_name": REGION} for name in CLOUDS
    }
    place.clouds.write_text(json.dumps({"clouds": clouds}, indent=2) + "\n")
