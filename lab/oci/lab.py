"""Starts a simulated Oracle Cloud, and tells what the SDK needs to know to reach it. All of it dies with us."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.oci.model import REGION, new_id
from lab.oci.principals import ApiKey, fingerprint_of, load_key
from lab.oci.site import DOMAINS, FAULT_DOMAINS
from lab.pki import Certificate, create_certificate
from vmferry.engine.qemu.child import start_bound

_ROOT = Path(__file__).resolve().parents[2]
_HOOK_S = 300


@dataclass(frozen=True, slots=True)
class LabInstance:
    """A machine of the lab."""

    id: str
    name: str
    state: str
    address: str
    port: int
    """Where its sshd listens: at this address of loopback, which no other instance has."""
    pid: int | None
    """Its first process; None when it does not run."""
    cloud_init: str
    """not started, running, done, error, not running."""
    directory: Path


class OciLab:
    """One tenancy in one region. A directory that a lab used before brings it back as it was.

    Needs root: instances have namespaces, mounts and loop devices of their own.
    """

    def __init__(self, directory: Path, *, port: int = 0, **settings: Any) -> None:
        _demand_powers()
        self.directory = directory = directory.absolute()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._port, self._metadata_port = port, 0
        directory.mkdir(parents=True, exist_ok=True)
        self._certificate = _certificate(directory / "pki")
        self._place = _place(directory / "place.json")
        self.key = _api_key(directory / "keys", self._place)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    # What a client has to know.

    @property
    def endpoint(self) -> str:
        """The `service_endpoint` of every client."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca(self) -> Path:
        """The authority to trust."""
        return self._certificate.ca

    @property
    def config(self) -> dict[str, str]:
        """What `oci.config.from_file()` would return."""
        return {
            "user": self.key.user, "tenancy": self.key.tenancy, "fingerprint": self.key.fingerprint,
            "key_file": str(self.key.key_file), "region": REGION,
        }  # fmt: skip

    @property
    def compartment(self) -> str:
        """The compartment that tests work in; "other" is a second one."""
        return str(self._place["compartments"]["lab"])

    @property
    def other_compartment(self) -> str:
        """Another compartment."""
        return str(self._place["compartments"]["other"])

    @property
    def namespace(self) -> str:
        """Of the object storage."""
        return str(self._place["namespace"])

    @property
    def subnet(self) -> str:
        """The one subnet."""
        return str(self._place["subnet"])

    @property
    def ssh_port(self) -> int:
        """Where the sshd of every instance listens, each at its own address."""
        return int(self._place["ssh_port"])

    @property
    def image(self) -> str:
        """The image that workers start from."""
        return next(id for id, wire in self.state()["image"].items() if wire["compartmentId"] is None)

    @property
    def domains(self) -> tuple[str, ...]:
        """The availability domains."""
        return DOMAINS

    @property
    def fault_domains(self) -> tuple[str, ...]:
        """The fault domains of each."""
        return FAULT_DOMAINS

    @property
    def federation_endpoint(self) -> str:
        """What InstancePrincipalsSecurityTokenSigner needs, with `federation_client_cert_bundle_verify=str(lab.ca)`."""
        return f"{self.endpoint}/v1/x509"

    def metadata_url(self, instance: str) -> str:
        """The OCI_METADATA_BASE_URL of an instance; its programs have it in their environment already."""
        return f"http://127.0.0.1:{self._metadata_port}/{instance}/opc/v2"

    def resource_principal(self, id: str = "ocid1.fnfunc.oc1.iad.aaaalab") -> dict[str, str]:
        """The environment that makes a process the function `id`: for get_resource_principals_signer()."""
        found: dict[str, str] = self.hook("resource_principal", id=id)
        return found

    # Start and end.

    @property
    def pid(self) -> int:
        """Process id of the site."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start the site, at the port it had."""
        with (self.directory / "site.log").open("ab") as log:
            self._process = start_bound(
                [sys.executable, "-m", "lab.oci.process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                cwd=_ROOT, env=_environment(),
            )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(self._wish()).encode() + b"\n")
        self._process.stdin.close()
        line = self._process.stdout.readline()
        self._process.stdout.close()
        if not line:
            text = (self.directory / "site.log").read_text(errors="replace")
            raise RuntimeError(f"the simulated site did not start:\n{text[-3000:]}")
        answer = json.loads(line)
        self._port, self._metadata_port = answer["port"], answer["metadata_port"]

    def kill(self) -> None:
        """Kill -9 the site and all its machines. `start` brings it back with its state."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop everything. The site stays in its directory."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> OciLab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # The hooks.

    def hook(self, hook_name: str, /, **arguments: Any) -> Any:
        """Call POST /_sim/NAME."""
        request = urllib.request.Request(
            f"{self.endpoint}/_sim/{hook_name}", data=json.dumps(arguments).encode(), method="POST"
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(request, context=context, timeout=_HOOK_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"hook {hook_name}: {json.load(error)['error']}") from None

    def settings(self, **values: Any) -> dict[str, Any]:
        """Change settings (SETTINGS in site.py), and return all of them."""
        found: dict[str, Any] = self.hook("settings", **values)
        return found

    def fault(self, action: str, match: dict[str, Any] | None = None, **more: Any) -> None:
        """Let something go wrong; see faults.py: value, code, message, times, skip."""
        self.hook("fault", action=action, match=match or {}, **more)

    def log(self) -> list[dict[str, Any]]:
        """All calls of the API so far."""
        found: list[dict[str, Any]] = self.hook("log")
        return found

    def state(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All things: kind → OCID → what the API shows."""
        found: dict[str, dict[str, dict[str, Any]]] = self.hook("state")
        return found

    def instances(self) -> list[LabInstance]:
        """All machines, ended ones too."""
        return [LabInstance(**{**one, "directory": Path(one["directory"])}) for one in self.hook("instances")]

    def volume_path(self, volume: str) -> Path:
        """The file with a volume's bytes: a witness that knows nothing of instances."""
        return Path(self.hook("volume", id=volume)["path"])

    # Objects, events, secrets.

    def create_bucket(self, name: str, *, events: bool = True) -> str:
        """Make a bucket, unless it is there; with events as the stack's bucket has them."""
        self.hook("bucket", name=name, events=events)
        return name

    def put_object(
        self, bucket: str, name: str, content: bytes | Path, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Store an object as an upload would (its event is sent), but not over HTTP; returns the etag."""
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            path = content if isinstance(content, Path) else Path(directory) / "object"
            if isinstance(content, bytes):
                path.write_bytes(content)
            made = self.hook("put_object", bucket=bucket, name=name, path=str(path), metadata=dict(metadata or {}))
        return str(made["etag"])

    def change_object(self, bucket: str, name: str) -> None:
        """Overwrite an object with other bytes of the same length; the fault `change_object` does it in a read."""
        self.hook("change_object", bucket=bucket, name=name)

    def connect_function(self, *, socket: Path | None = None, url: str | None = None, **more: Any) -> None:
        """Send events of objects to a function: at its unix socket, or at an http URL."""
        where = {"socket": str(socket)} if socket else {"url": url}
        self.settings(function={**where, **more})

    def function_environment(self, socket: Path) -> dict[str, str]:
        """The environment that makes `fdk func.py handler` a function of this tenancy, listening at `socket`."""
        return {
            **self.resource_principal(), "FN_LISTENER": f"unix:{socket}", "FN_FORMAT": "http-stream",
            "FN_APP_ID": "lab", "FN_FN_ID": "lab", "REQUESTS_CA_BUNDLE": str(self.ca),
            "OBJECT_STORAGE_ENDPOINT": self.endpoint, "SECRETS_ENDPOINT": self.endpoint,
        }  # fmt: skip

    def events(self) -> list[dict[str, Any]]:
        """All events: {event, attempts, state: pending, delivered, dead}."""
        found: list[dict[str, Any]] = self.hook("events")
        return found

    def add_secret(self, name: str, content: str) -> str:
        """Put a secret into the vault; returns its OCID."""
        return str(self.hook("secret", name=name, content=content)["id"])

    def _wish(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory), "key": {**asdict(self.key), "key_file": str(self.key.key_file)},
            "place": self._place, "port": self._port, "metadata_port": self._metadata_port, "settings": self._settings,
            "ca": str(self.ca), "cert": str(self._certificate.cert), "cert_key": str(self._certificate.key),
        }  # fmt: skip


def _demand_powers() -> None:
    """Say at once what would fail later, out of sight."""
    if os.getuid() != 0:
        raise PermissionError("lab.oci needs root: its instances have mounts and loop devices of their own")
    spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--", "true"]
    done = subprocess.run(spaces, capture_output=True, text=True, check=False)
    if done.returncode or not Path("/dev/loop-control").exists():
        raise PermissionError(f"lab.oci needs namespaces and loop devices: {done.stderr.strip()}")


def _certificate(directory: Path) -> Certificate:
    made = Certificate(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    return made if made.key.exists() else create_certificate(directory)


def _place(path: Path) -> dict[str, Any]:
    if not path.exists():
        network = f"127.{random.randrange(16, 250)}.{random.randrange(256)}"
        made = {
            "tenancy": new_id("tenancy", regional=False), "namespace": "labnamespace",
            "compartments": {name: new_id("compartment", regional=False) for name in ("lab", "other")},
            "subnet": new_id("subnet"), "vcn": new_id("vcn"), "network": network, "ssh_port": _ssh_port(network),
        }  # fmt: skip
        path.write_text(json.dumps(made))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _ssh_port(network: str) -> int:
    """Use the usual port, unless somebody on this machine has it at every address."""
    for port in (22, *random.sample(range(15000, 32000), 20)):
        with socket.socket() as probe:
            try:
                probe.bind((f"{network}.2", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port for sshd is free at {network}.2")


def _api_key(directory: Path, place: dict[str, Any]) -> ApiKey:
    user_file = directory / "user"
    key_file = directory / "api_key.pem"
    key = load_key(key_file)
    if not user_file.exists():
        user_file.write_text(new_id("user", regional=False))
    return ApiKey(place["tenancy"], user_file.read_text(), fingerprint_of(key), key_file)


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), str(_ROOT / "provider"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in paths if one)}
