"""One project of the lab as its people see it: they make servers and volumes by the plain SDK, not by our driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lab.openstack.cloud import connect
from lab.openstack.place import Place
from openstack.exceptions import NotFoundException

PATIENCE_S = 300.0


class Project:
    """Remembers what it made, and removes it at the end."""

    def __init__(self, place: Place, name: str) -> None:
        self.cloud = connect(place, name)
        self.network = self.cloud.network.find_network("net")
        self.flavor = self.cloud.compute.find_flavor("tiny")
        data = (place.root / "guests" / "tiny.qcow2").read_bytes()
        self.image = self.cloud.image.create_image(
            "tiny", data=data, disk_format="qcow2", container_format="bare", wait=True, hw_rng_model="virtio"
        )
        self._servers: list[str] = []
        self._volumes: list[str] = []

    def volume(self, name: str, **more: Any) -> str:
        """Make a volume."""
        made = self.cloud.block_storage.create_volume(name=name, size=more.pop("size", 1), **more)
        self._volumes.append(made.id)
        self._until(lambda: self.cloud.block_storage.get_volume(made.id).status == "available", name)
        return str(made.id)

    def server(self, name: str, **more: Any) -> str:
        """Make a server and wait until nova has done with it."""
        boot = {} if "block_device_mapping" in more else {"image_id": self.image.id}
        made = self.cloud.compute.create_server(
            name=name, flavor_id=self.flavor.id, networks=[{"uuid": self.network.id}], **boot, **more
        )
        self._servers.append(made.id)
        self._until(lambda: self._is(made.id, "ACTIVE"), name)
        return str(made.id)

    def server_from_volume(self, name: str, volume: str) -> str:
        """Make one that boots from a volume."""
        disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
        return self.server(name, block_device_mapping=[{**disk, "delete_on_termination": False}])

    def attach(self, server: str, volume: str) -> None:
        """Attach a volume to a server."""
        self.cloud.compute.create_volume_attachment(server, volume_id=volume)
        self._until(lambda: self.cloud.block_storage.get_volume(volume).status == "in-use", volume)

    def until_console(self, server: str, words: str) -> str:
        """Wait until the guest has printed something, and give the last line that has it."""
        found: list[str] = []

        def look() -> bool:
            try:
                text = self.cloud.compute.get_server_console_output(server)["output"] or ""
            except NotFoundException:  # a server that is just starting has no console
                return False
            found[:] = [line for line in text.splitlines() if words in line][-1:]
            return bool(found)

        self._until(look, f"{words!r} on the console")
        return found[0]

    def attached(self, server: str) -> list[str]:
        """List the volumes that a server has."""
        return [one.volume_id for one in self.cloud.compute.volume_attachments(server)]

    def status(self, server: str) -> str:
        """Give what nova says of a server."""
        return str(self.cloud.compute.get_server(server).status)

    def _is(self, server: str, status: str) -> bool:
        found = self.cloud.compute.get_server(server)
        assert found.status != "ERROR", found.fault
        return bool(found.status == status and not found.task_state)

    def _until(self, check: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not check():
            assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_S:g} s"
            time.sleep(0.3)

    def clear(self) -> None:
        """Remove all servers and volumes that were made so far: guests cost processor time, and quotas count them."""
        compute, storage = self.cloud.compute, self.cloud.block_storage
        for server in self._servers:
            compute.delete_server(server)
        self._until(lambda: not {one.id for one in compute.servers()} & set(self._servers), "servers are gone")
        for volume in self._volumes:
            storage.delete_volume(volume)
        self._until(lambda: not {one.id for one in storage.volumes()} & set(self._volumes), "volumes are gone")
        self._servers.clear()
        self._volumes.clear()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.clear()
        finally:
            self.cloud.image.delete_image(self.image.id)
