"""The daemons of the lab and how each is started, in the order in which they need each other."""

from __future__ import annotations

from pathlib import Path

from lab.openstack.daemons import Daemon, pid_of
from lab.openstack.place import API_PORTS, EPMD_PORT, HOST, RABBIT_NODES_PORT, RABBIT_PORT, LabError, Place

BACKENDS = ("mariadb", "epmd", "rabbitmq", "libvirtd")
APIS = tuple(f"{name}-api" for name in API_PORTS)
WORKERS = ("nova-conductor", "nova-scheduler", "cinder-scheduler", "cinder-volume", "nova-compute")

_HERE = Path(__file__).resolve().parent
_MODULES = {
    "keystone": "keystone.wsgi.api",
    "glance": "glance.wsgi.api",
    "placement": "placement.wsgi.api",
    "neutron": "neutron.wsgi.api",
    "cinder": "cinder.wsgi.api",
    "nova": "nova.wsgi.osapi_compute",
}
_THREADS = {"glance": 8}


def mariadb(place: Place) -> Daemon:
    """Databases, on a socket only. Nothing here has to outlast a power cut."""
    options = (
        "--no-defaults", "--user=root", f"--datadir={place.root}/mysql", f"--socket={place.database}",
        "--skip-networking", f"--pid-file={place.root}/run/mariadbd.id", "--innodb-flush-method=nosync",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--max-connections=400",
        "--performance-schema=off",
    )  # fmt: skip
    return Daemon("mariadb", ("mariadbd", *options))


def epmd(place: Place) -> Daemon:
    """The names of Erlang's nodes: RabbitMQ would start one itself that nobody ends."""
    return Daemon("epmd", ("epmd", "-port", str(EPMD_PORT)), EPMD_PORT, {"ERL_EPMD_ADDRESS": HOST})


def rabbitmq(place: Place) -> Daemon:
    """Messages between the services."""
    room = place.root / "rabbit"
    environment = {
        "HOME": str(room),
        "ERL_EPMD_PORT": str(EPMD_PORT),
        "RABBITMQ_NODENAME": "lab@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(RABBIT_PORT),
        "RABBITMQ_DIST_PORT": str(RABBIT_NODES_PORT),
        "RABBITMQ_MNESIA_BASE": str(room),
        "RABBITMQ_LOG_BASE": str(place.root / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(room / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(room / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    return Daemon("rabbitmq", ("/usr/lib/rabbitmq/bin/rabbitmq-server",), RABBIT_PORT, environment)


def libvirtd(place: Place) -> Daemon:
    """The keeper of guests, with its usual directories in a mount namespace of its own."""
    return Daemon("libvirtd", ("unshare", "-m", str(_HERE / "libvirtd.sh"), str(place.root)))


def api(place: Place, name: str) -> Daemon:
    """One API, one process."""
    environment = {
        **{f"OS_{one.upper()}_CONFIG_DIR": str(place.config(one).parent) for one in API_PORTS if one != "cinder"},
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
    }
    command = (
        *("uwsgi", "--http-socket", f"{HOST}:{API_PORTS[name]}", "--module", f"{_MODULES[name]}:application"),
        *("--master", "--processes", "1", "--threads", str(_THREADS.get(name, 4)), "--enable-threads", "--lazy-apps"),
        *("--die-on-term", "--buffer-size", "65535", "--add-header", "Connection: close"),
        # glance's client sends chunks of 1 MiB, and the limit of 1 MiB counts a chunk's head too.
        *("--chunked-input-limit", "8388608"),
        *("--virtualenv", str(place.venv), "--single-interpreter"),
        *("--pyargv", f"--config-file {place.config('cinder')}" if name == "cinder" else ""),
    )
    return Daemon(f"{name}-api", command, API_PORTS[name], environment)


def worker(place: Place, name: str) -> Daemon:
    """One of nova's or cinder's. What runs guests sees the mounts that libvirt sees, and the other way round."""
    service = name.partition("-")[0]
    command = (name, "--config-file", str(place.config(service)))
    if name != "nova-compute":
        return Daemon(name, command)
    keeper = pid_of(place, "libvirtd")
    if keeper is None:
        raise LabError("nova-compute: there is no libvirtd to join")
    return Daemon(name, ("nsenter", "-m", "-t", str(keeper), *command))
