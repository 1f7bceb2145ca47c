"""What is done once: the services' Python environment, stand-ins for sudo and mount, databases and their tables."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.openstack.place import IDENTITY_URL, PASSWORD, REGION, LabError, Place

_REPOSITORY = Path(__file__).resolve().parents[2]
_PYTHON = "/usr/bin/python3"
"""The system's own: libvirt's Python module is built for it."""
_DATABASES = ("keystone", "glance", "placement", "neutron", "cinder", "nova", "nova_api", "nova_cell0")
_LIBVIRT_USER = "libvirt-qemu"

_SUDO = '#!/bin/sh\n# All of the lab is root.\ncase $1 in *-rootwrap) shift 2 ;; esac\nexec "$@"\n'
_MOUNT = """#!/bin/sh
# "mount -t nfs HOST:/DIRECTORY POINT" becomes a bind mount of that directory: the share is on this machine.
case " $* " in
  *" nfs "*)
    for word; do
      case $word in
        *:/*) from=${word#*:} ;;
        /*) to=$word ;;
      esac
    done
    exec /bin/mount --bind "$from" "$to" ;;
esac
exec /bin/mount "$@"
"""
_METADATA = "Metadata-Version: 2.1\nName: vmferry-lab\nVersion: 1\n"
_ENTRY_POINT = "[neutron.ml2.mechanism_drivers]\nlab = vmferry_lab_ml2:LabBridges\n"


def once(place: Place, name: str, step: Callable[[Place], None], *, stamp: str = "done") -> bool:
    """Do a step that has not been done with this stamp yet; tells whether it was."""
    mark = place.root / "done" / name
    if mark.exists() and mark.read_text() == stamp:
        return False
    place.log(name).write_bytes(b"")
    step(place)
    mark.write_text(stamp)
    return True


def python_stamp() -> str:
    """Give what the environment depends on."""
    parts = (_REPOSITORY / "requirements/openstack.txt", Path(__file__), Path(__file__).with_name("ml2_driver.py"))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def install_python(place: Place) -> None:
    """Make the services' environment, from the versions that requirements/openstack.txt pins."""
    uv = shutil.which("uv") or str(_REPOSITORY / ".venv/bin/uv")
    run(place, "python", [_PYTHON, "-m", "venv", "--clear", "--without-pip", str(place.venv)])
    wanted = ["-r", str(_REPOSITORY / "requirements/openstack.txt")]
    install = [uv, "pip", "install", "-q", "--python", str(place.venv / "bin/python"), *wanted]
    run(place, "python", install, environment={**os.environ, "UV_SYSTEM_CERTS": "true", "UV_PYTHON_DOWNLOADS": "never"})
    for module in Path("/usr/lib/python3/dist-packages").glob("libvirt*"):
        if module.suffix in (".py", ".so"):
            (place.site_packages / module.name).symlink_to(module)
    run(place, "python", ["python", "-c", "import libvirt"])
    _hasten_answers(place)
    _install_ml2_driver(place)


def install_stand_ins(place: Place) -> None:
    """Put sudo and mount into the lab's PATH, and make the user that libvirt insists on, even unused."""
    for name, text in (("sudo", _SUDO), ("mount", _MOUNT), ("mount.nfs", "#!/bin/sh\n")):
        path = place.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
    if _LIBVIRT_USER not in {user.pw_name for user in pwd.getpwall()}:
        group = ["-g", _LIBVIRT_USER] if _LIBVIRT_USER in {one.gr_name for one in grp.getgrall()} else ["-U"]
        run(place, "stand-ins", ["useradd", "-rM", *group, _LIBVIRT_USER])


def make_database_files(place: Place) -> None:
    """Make an empty MariaDB."""
    shutil.rmtree(place.root / "mysql", ignore_errors=True)
    options = ["--no-defaults", "--user=root", f"--datadir={place.root}/mysql"]
    run(place, "mysql", ["mysql_install_db", *options, "--auth-root-authentication-method=normal"])


def make_databases(place: Place) -> None:
    """Make the services' databases. May be called again."""
    for name in _DATABASES:
        sql(place, f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3")


def make_tables(place: Place) -> None:
    """Make the tables of all services, side by side. May be called again."""
    jobs = (_make_keystone, _make_nova, _make_glance, _make_placement, _make_neutron, _make_cinder)
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job, place) for job in jobs]:
            done.result()


def sql(place: Place, statement: str, database: str = "") -> str:
    """Ask the databases something."""
    command = [
        "mysql",
        f"--socket={place.database}",
        "--user=root",
        "-N",
        "-e",
        statement,
        *([database] if database else []),
    ]
    return run(place, "sql", command)


def run(place: Place, log: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and give what it printed; one that fails is told with the end of its log."""
    with place.log(log).open("ab") as errors:
        done = subprocess.run(
            command, env=environment or place.environment(), cwd=place.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, check=False,
        )  # fmt: skip
        errors.write(done.stdout)
    if done.returncode != 0:
        place.fail(f"{Path(command[0]).name} failed ({done.returncode})", log)
    return done.stdout.decode()


def _hasten_answers(place: Place) -> None:
    """Let oslo.messaging look for answers every 20 ms instead of twice a second: one boot makes dozens of calls."""
    path = place.site_packages / "oslo_messaging/_drivers/amqpdriver.py"
    text = path.read_text()
    if "time.sleep(0.5)" not in text:
        raise LabError(f"{path} is of a version that the lab does not know")
    path.unlink()  # it may be a hard link into a cache that others use
    path.write_text(text.replace("time.sleep(0.5)", "time.sleep(0.02)"))


def _install_ml2_driver(place: Place) -> None:
    shutil.copy(Path(__file__).with_name("ml2_driver.py"), place.site_packages / "vmferry_lab_ml2.py")
    about = place.site_packages / "vmferry_lab-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(_METADATA)
    (about / "entry_points.txt").write_text(_ENTRY_POINT)


def _make_keystone(place: Place) -> None:
    def manage(*words: str) -> None:
        run(place, "tables-keystone", ["keystone-manage", "--config-file", str(place.config("keystone")), *words])

    manage("db_sync")
    for kind in ("fernet", "credential"):
        (place.config("keystone").parent / kind).mkdir(mode=0o700, exist_ok=True)
        manage(f"{kind}_setup", "--keystone-user", "root", "--keystone-group", "root")
    # placement's middleware looks for the internal address, everybody else for the public one.
    urls = ("--bootstrap-public-url", IDENTITY_URL, "--bootstrap-internal-url", IDENTITY_URL)
    manage("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls)


def _make_nova(place: Place) -> None:
    def manage(*words: str) -> str:
        return run(place, "tables-nova", ["nova-manage", "--config-file", str(place.config("nova")), *words])

    manage("api_db", "sync")
    manage("cell_v2", "map_cell0")
    manage("db", "sync")
    if "cell1" not in manage("cell_v2", "list_cells"):
        manage("cell_v2", "create_cell", "--name", "cell1")


def _make_glance(place: Place) -> None:
    run(place, "tables-glance", ["glance-manage", "--config-file", str(place.config("glance")), "db_sync"])


def _make_placement(place: Place) -> None:
    run(place, "tables-placement", ["placement-manage", "--config-file", str(place.config("placement")), "db", "sync"])


def _make_neutron(place: Place) -> None:
    run(
        place,
        "tables-neutron",
        ["neutron-db-manage", "--config-file", str(place.config("neutron")), "upgrade", "heads"],
    )


def _make_cinder(place: Place) -> None:
    run(place, "tables-cinder", ["cinder-manage", "--config-file", str(place.config("cinder")), "db", "sync"])
