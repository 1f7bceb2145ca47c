"""Up, down and status of the whole: each step is done only where it is missing, and `down` leaves nothing running."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.openstack import bridges, cloud, configuration, guests, installation, services
from lab.openstack.daemons import Daemon, is_open, members, memory_mib, pid_of, start, stop, wait_until
from lab.openstack.installation import once, run, sql
from lab.openstack.place import API_PORTS, RABBIT_PORT, LabError, Place

_START_S = 300.0
"""For a part to be ready, on a machine that has other work."""


def up(place: Place, say: Callable[[str], None]) -> None:
    """Bring everything up that is not."""
    if os.geteuid() != 0:
        raise LabError("guests, mounts and bridges need root")
    place.prepare()
    with _only_one(place):
        _install(place, say)
        _start_backends(place, say)
        _start_services(place, say)
        _do(place, say, "resources", cloud.make_resources)
        bridges.put_up(place)
        _do(place, say, "guests", guests.build_tiny, stamp=guests.stamp())


def down(place: Place, say: Callable[[str], None], *, purge: bool = False) -> None:
    """Stop everything, guests first; `purge` removes the directory too. May be called again, in any state."""
    if not (place.root / "run").is_dir():
        return
    with _only_one(place):
        networks = _networks(place)
        if not purge:
            _stop_servers(place, say)
        _kill_guests(place)
        stop(place, (*services.WORKERS, *services.APIS), patience_s=5)
        _kill_stray_guests(place)
        stop(place, ("libvirtd",), patience_s=10)
        stop(place, ("rabbitmq", "mariadb"), patience_s=30)
        stop(place, ("epmd",), patience_s=2)
        bridges.take_down(place, networks)
        _unmount(place)
        say("down")
        if purge:
            shutil.rmtree(place.root)


def status(place: Place) -> Iterator[str]:
    """Say of each daemon and guest whether it lives, and how much memory it has."""
    total = 0
    names = (*services.BACKENDS, *services.APIS, *services.WORKERS)
    for name in names:
        pid = pid_of(place, name)
        size = memory_mib(members(pid)) if pid else 0
        total += size
        yield f"{name:18} pid {pid:<7} {size:5} MiB" if pid else f"{name:18} not running"
    for pid, name in _guests(place):
        size = memory_mib([pid])
        total += size
        yield f"{name:18} pid {pid:<7} {size:5} MiB"
    yield f"{total} MiB in all"


def missing(place: Place) -> str:
    """Say what keeps the lab from being usable; empty when nothing does."""
    dead = [name for name in (*services.BACKENDS, *services.APIS, *services.WORKERS) if pid_of(place, name) is None]
    return f"{dead[0]} is not running" if dead else cloud.is_ready(place)


def _install(place: Place, say: Callable[[str], None]) -> None:
    stamp = installation.python_stamp()
    _do(place, say, "python", installation.install_python, stamp=stamp)
    _do(place, say, "stand-ins", installation.install_stand_ins, stamp=stamp)
    configuration.write_all(place)
    _do(place, say, "mysql", installation.make_database_files)


def _start_backends(place: Place, say: Callable[[str], None]) -> None:
    for daemon in (services.mariadb(place), services.epmd(place), services.rabbitmq(place), services.libvirtd(place)):
        _start(place, say, daemon)
    wait_until(place, "mariadb", _START_S, lambda: _works(place, _ask_database))
    _do(place, say, "databases", installation.make_databases)
    _do(place, say, "tables", installation.make_tables, stamp=installation.python_stamp())
    wait_until(place, "rabbitmq", _START_S, lambda: is_open(RABBIT_PORT))
    wait_until(place, "libvirtd", _START_S, lambda: _works(place, lambda place: _virsh(place, "list")))


def _start_services(place: Place, say: Callable[[str], None]) -> None:
    bridges.put_up(place)
    for name in API_PORTS:
        _start(place, say, services.api(place, name))
    wait_until(place, "keystone-api", _START_S, lambda: _works(place, _log_in))
    _do(place, say, "identity", cloud.make_identity)
    for name in services.WORKERS:
        _start(place, say, services.worker(place, name))
    cloud.wait_ready(place, _START_S)


def _start(place: Place, say: Callable[[str], None], daemon: Daemon) -> None:
    if start(place, daemon):
        say(f"started {daemon.name}")


def _do(
    place: Place, say: Callable[[str], None], name: str, step: Callable[[Place], None], *, stamp: str = "done"
) -> None:
    began = time.monotonic()
    if once(place, name, step, stamp=stamp):
        say(f"{name}: {time.monotonic() - began:.0f} s")


def _works(place: Place, question: Callable[[Place], object]) -> bool:
    try:
        question(place)
    except (LabError, *cloud.FAILURES):
        return False
    return True


def _ask_database(place: Place) -> None:
    sql(place, "SELECT 1")


def _log_in(place: Place) -> None:
    cloud.connect(place).authorize()


def _virsh(place: Place, *words: str) -> str:
    return run(place, "virsh", ["virsh", "-q", "-c", place.libvirt, *words])


def _networks(place: Place) -> list[str]:
    """Ask for the networks' ids, also those that came later: nova made a bridge for each."""
    if pid_of(place, "mariadb") is None:
        return []
    with contextlib.suppress(LabError):
        return sql(place, "SELECT id FROM networks", "neutron").split()
    return []


def _stop_servers(place: Place, say: Callable[[str], None]) -> None:
    if any(pid_of(place, name) is None for name in ("keystone-api", "nova-api", "nova-compute")):
        return
    try:
        done = cloud.stop_servers(place)
    except cloud.FAILURES as failure:
        say(f"{type(failure).__name__}: {failure}")
        done = False
    if not done:
        say("not all servers could be stopped: nova has to reboot them hard after the next start")


def _kill_guests(place: Place) -> None:
    if pid_of(place, "libvirtd") is None:
        return
    for name in _virsh(place, "list", "--name").split():
        _virsh(place, "destroy", name)


def _kill_stray_guests(place: Place) -> None:
    """Kill guests that libvirt could no longer end. Its record of a pid counts only if that process names the guest."""
    for pid, _name in _guests(place):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)


def _guests(place: Place) -> Iterator[tuple[int, str]]:
    for path in sorted((place.root / "libvirt/run/qemu").glob("instance-*.pid")):
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if path.stem.encode() in command and str(place.root).encode() in command:
                yield pid, path.stem


def _unmount(place: Place) -> None:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1] for line in lines if line.split()[1].startswith(f"{place.root}/")]
    for point in sorted(points, reverse=True):
        subprocess.run(["umount", point], check=True)


@contextlib.contextmanager
def _only_one(place: Place) -> Iterator[None]:
    """Let only one of us work on the lab at a time; the other waits."""
    lock = os.open(place.root / "run" / "up-or-down.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
