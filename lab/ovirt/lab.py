"""Starts a simulated site: the engine's process, the host's agent, and the real imageio daemon. They die with us."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.imageio import ImageioDaemon
from lab.ovirt.agent import GuestAgent, HostAgent, end
from lab.pki import Certificate, create_certificate
from vmferry.engine.qemu.child import start_bound

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class LabVm:
    """A VM of the lab."""

    id: str
    name: str
    disks: tuple[str, ...]
    guest_urls: dict[str, str]
    """Per disk: where its guest reads and writes, as an NBD URL."""


class OvirtLab:
    """One site. A second one in another directory has its own authority, storage and daemons.

    With a directory that an earlier lab used, the site is there again as it was left.
    """

    user = "admin@internal"

    def __init__(
        self, directory: Path, name: str = "prod", *, port: int = 0, local_imageio: bool = False, **settings: Any
    ) -> None:
        self.directory = directory
        self.name = name
        self._settings = settings
        self._engine: subprocess.Popen[bytes] | None = None
        self._port = port
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate = _certificate(directory / "pki")
        self.password_secret = _password(directory / "password")
        self._run = Path(tempfile.mkdtemp(prefix="vmferry-ovirt-"))
        self._imageio = ImageioDaemon(directory / "imageio", self.certificate, local=local_imageio)
        self._agent = HostAgent(self._run, directory / "host", self._imageio)
        try:
            self.start_engine()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The engine's address without a path, as `ovirt-img` wants it."""
        return f"https://localhost:{self._port}"

    @property
    def url(self) -> str:
        """The address of its API, as the SDK wants it."""
        return f"{self.address}/ovirt-engine/api"

    @property
    def ca(self) -> Path:
        """The authority that signed the engine and imageio."""
        return self.certificate.ca

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.ca.read_text())).hexdigest()

    @property
    def imageio_pid(self) -> int:
        """Process id of the imageio daemon."""
        return self._imageio.pid

    @property
    def imageio_logs(self) -> list[Path]:
        """What the imageio daemon wrote, through all its deaths."""
        return [*self._imageio.old_logs, self._imageio.directory / "daemon.log"]

    @property
    def engine_pid(self) -> int:
        """Process id of the engine."""
        assert self._engine
        return self._engine.pid

    @property
    def process_ids(self) -> dict[str, int]:
        """What the host's agent runs now: qemu processes by name."""
        return self._agent.pids()

    @property
    def guests(self) -> dict[str, GuestAgent]:
        """The guests that can freeze their file systems, by VM."""
        return self._agent.guests

    def start_engine(self) -> None:
        """Start the engine, at the port it had."""
        command = [sys.executable, "-m", "lab.ovirt.process"]
        with (self.directory / "engine.log").open("ab") as log:
            self._engine = start_bound(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=_ROOT, env=_environment()
            )
        assert self._engine.stdin
        assert self._engine.stdout
        self._engine.stdin.write(json.dumps(self._wish()).encode() + b"\n")
        self._engine.stdin.close()
        line = self._engine.stdout.readline()
        self._engine.stdout.close()
        if not line:
            log_text = (self.directory / "engine.log").read_text(errors="replace")
            raise RuntimeError(f"the simulated engine did not start:\n{log_text[-3000:]}")
        self._port = int(json.loads(line)["port"])

    def kill_engine(self) -> None:
        """Kill -9 the engine; qemu and imageio go on, and so does what clients transfer."""
        assert self._engine
        end(self._engine, kill=True)

    def await_engine_death(self) -> None:
        """Wait until the engine is gone, e.g. by a fault `kill_engine`."""
        assert self._engine
        self._engine.wait(60)

    def kill_imageio(self) -> None:
        """Kill the imageio daemon; its tickets are gone."""
        self._imageio.kill()

    def start_imageio(self) -> None:
        """Start it again, at the port it had."""
        self._imageio.start()

    def lose_power(self) -> None:
        """Kill -9 the whole site: engine, host, VMs, imageio."""
        self.kill_engine()
        self._agent.kill_all()
        self.kill_imageio()

    def log_requests(self) -> None:
        """Let the imageio daemon log each read and write; it begins anew, without the tickets it had."""
        self._imageio.kill()
        self._imageio.log_level = "DEBUG"
        self._imageio.start()

    def close(self) -> None:
        """Stop everything. The site stays in its directory."""
        if self._engine is not None:
            end(self._engine)
            self._engine = None
        self._agent.close()
        self._imageio.close()
        shutil.rmtree(self._run, ignore_errors=True)

    def __enter__(self) -> OvirtLab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # The hooks.

    def hook(self, hook_name: str, /, **arguments: Any) -> Any:
        """Call POST /_sim/NAME."""
        request = urllib.request.Request(
            f"{self.address}/_sim/{hook_name}", data=json.dumps(arguments).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(
                request, context=ssl.create_default_context(cafile=str(self.ca)), timeout=300
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"hook {hook_name}: {json.load(error)['error']}") from None

    def add_vm(self, name: str, disks: Sequence[dict[str, Any]] = ({"size": 64 << 20},), **more: Any) -> LabVm:
        """Make a VM; keys of disks and `more` are described in setting_up.py."""
        made = self.hook("vm", name=name, disks=[_plain(one) for one in disks], **more)
        return LabVm(made["id"], made["name"], tuple(made["disks"]), made["guest_urls"])

    def guest_write(self, disk: str, offset: int, data: bytes) -> None:
        """Write as the guest does, through qemu."""
        self.hook("write", disk=disk, offset=offset, data=base64.b64encode(data).decode())

    def guest_zero(self, disk: str, offset: int, length: int) -> None:
        """Discard as the guest does."""
        self.hook("write", disk=disk, offset=offset, length=length, zero=True)

    def copy_disk(self, disk: str, path: Path) -> Path:
        """Copy what a disk holds now into a raw file: a witness that knows nothing of imageio."""
        self.hook("copy", disk=disk, path=str(path))
        return path

    def fault(self, action: str, match: dict[str, Any] | None = None, **more: Any) -> None:
        """Let something go wrong; see faults.py: value, times, skip, detail."""
        self.hook("fault", action=action, match=match or {}, **more)

    def log(self) -> list[dict[str, Any]]:
        """All calls of the API so far."""
        found: list[dict[str, Any]] = self.hook("log")
        return found

    def state(self) -> dict[str, Any]:
        """What is there and what was left over."""
        found: dict[str, Any] = self.hook("state")
        return found

    def _wish(self) -> dict[str, Any]:
        return {
            "name": self.name, "directory": str(self.directory), "run": str(self._run), "ca": str(self.ca),
            "cert": str(self.certificate.cert), "key": str(self.certificate.key), "port": self._port,
            "password": self.password_secret, "settings": self._settings, "imageio_port": self._imageio.port,
            "imageio_control": str(self._imageio.directory / "control.sock"),
        }  # fmt: skip


def _certificate(directory: Path) -> Certificate:
    made = Certificate(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    return made if made.key.exists() else create_certificate(directory)


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(12))
    return path.read_text()


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), str(_ROOT / "provider"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in paths if one)}


def _plain(disk: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in disk.items()}
