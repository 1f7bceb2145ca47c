"""The unmodified SDK, pointed at the lab, and what tests ask of it again and again."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oci
from lab.jobs import wait_until
from lab.oci.lab import OciLab

NO_RETRY = oci.retry.NoneRetryStrategy()


class Clients:
    """One client per service, each with the lab's authority and no retries."""

    def __init__(self, lab: OciLab, config: dict[str, str] | None = None, signer: Any = None) -> None:
        self.lab = lab
        self._config = lab.config if config is None else config
        self._more = {"signer": signer} if signer else {}
        self.compute = self.make(oci.core.ComputeClient)
        self.blocks = self.make(oci.core.BlockstorageClient)
        self.network = self.make(oci.core.VirtualNetworkClient)
        self.identity = self.make(oci.identity.IdentityClient)
        self.objects = self.make(oci.object_storage.ObjectStorageClient)
        self.secrets = self.make(oci.secrets.SecretsClient)
        self.work = self.make(oci.work_requests.WorkRequestClient)

    def make(self, kind: Any) -> Any:
        """Make a client. Without trust_env=False a REQUESTS_CA_BUNDLE of the machine would win over `verify`."""
        client = kind(self._config, service_endpoint=self.lab.endpoint, retry_strategy=NO_RETRY, timeout=(10, 60),
                      **self._more)  # fmt: skip
        client.base_client.session.verify = str(self.lab.ca)
        client.base_client.session.trust_env = False
        return client

    def await_state(self, get: Callable[[str], Any], id: str, *states: str) -> Any:
        """Wait until a thing is in one of the states, and return it."""
        wait_until(lambda: get(id).data.lifecycle_state in states, f"{id} is {' or '.join(states)}")
        return get(id).data

    def launch(self, *, wait: bool = True, token: str | None = None, **changes: Any) -> Any:
        """Launch an instance."""
        details = launch_details(self.lab, **changes)
        made = self.compute.launch_instance(details, **({"opc_retry_token": token} if token else {})).data
        return self.await_state(self.compute.get_instance, made.id, "RUNNING") if wait else made

    def volume(self, *, wait: bool = True, **changes: Any) -> Any:
        """Create a volume."""
        usual = {"compartment_id": self.lab.compartment, "availability_domain": self.lab.domains[0], "size_in_gbs": 50}
        made = self.blocks.create_volume(oci.core.models.CreateVolumeDetails(**{**usual, **changes})).data
        return self.await_state(self.blocks.get_volume, made.id, "AVAILABLE") if wait else made

    def attach(self, instance: str, volume: str, device: str | None, *, wait: bool = True, **more: Any) -> Any:
        """Attach a volume, paravirtualized."""
        details = oci.core.models.AttachParavirtualizedVolumeDetails(
            instance_id=instance, volume_id=volume, device=device, **more
        )
        made = self.compute.attach_volume(details).data
        return self.await_state(self.compute.get_volume_attachment, made.id, "ATTACHED") if wait else made

    def detach(self, attachment: str) -> None:
        """Detach a volume, and wait."""
        self.compute.detach_volume(attachment)
        self.await_state(self.compute.get_volume_attachment, attachment, "DETACHED")

    def address(self, instance: str) -> str:
        """Find an instance's private address as the driver does."""
        found = self.compute.list_vnic_attachments(self.lab.compartment, instance_id=instance).data
        return str(self.network.get_vnic(found[0].vnic_id).data.private_ip)


@dataclass(frozen=True)
class Keys:
    """Key files for logging in."""

    user: Path
    host: Path

    @classmethod
    def create(cls, directory: Path) -> Keys:
        """Make them."""
        for name in ("user", "host"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(directory / name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        return cls(directory / "user", directory / "host")

    @property
    def metadata(self) -> dict[str, str]:
        """What lets the user in and makes the host show our key."""
        private = "".join(f"    {line}\n" for line in self.host.read_text().splitlines())
        config = f"#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: {_public(self.host)}\n"
        return {"ssh_authorized_keys": _public(self.user), "user_data": encode(config)}

    def ssh(self, address: str, port: int, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as opc; the host has to show the key that we gave it."""
        known = self.user.with_name(f"known_hosts_{address}")
        known.write_text(f"{address if port == 22 else f'[{address}]:{port}'} {_public(self.host)}\n")
        argv = [
            "ssh", "-F", "none", "-i", str(self.user), "-p", str(port), "-oStrictHostKeyChecking=yes",
            "-oBatchMode=yes",
            f"-oUserKnownHostsFile={known}", "-oConnectTimeout=10", f"opc@{address}", command,
        ]  # fmt: skip
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=100)

    def await_ssh(self, address: str, port: int) -> None:
        """Wait until somebody can log in."""
        wait_until(lambda: self.ssh(address, port, "true").returncode == 0, f"{address} lets us in")


def launch_details(lab: OciLab, **changes: Any) -> Any:
    """Describe an instance."""
    models = oci.core.models
    usual = {
        "availability_domain": lab.domains[0], "compartment_id": lab.compartment, "shape": "VM.Standard.E4.Flex",
        "shape_config": models.LaunchInstanceShapeConfigDetails(ocpus=1, memory_in_gbs=8),
        "create_vnic_details": models.CreateVnicDetails(subnet_id=lab.subnet, assign_public_ip=False),
        "source_details": models.InstanceSourceViaImageDetails(image_id=lab.image),
    }  # fmt: skip
    return models.LaunchInstanceDetails(**{**usual, **changes})


def encode(text: str) -> str:
    """Write user data as the metadata wants it."""
    return base64.b64encode(text.encode()).decode()


def _public(key: Path) -> str:
    return key.with_name(key.name + ".pub").read_text().strip()
