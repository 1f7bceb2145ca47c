"""The volumes of simulated storage domains: real qcow2 and raw files, and real qemu-nbd processes over them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from lab.ovirt.agent import AgentClient
from lab.ovirt.model import Disk, Layer, new_id

START_S = 60.0


class StorageError(RuntimeError):
    """A tool that handles real bytes failed."""


class Storage:
    """Files under `root`, one folder a disk, one file a volume."""

    def __init__(self, root: Path, run: Path, agent: AgentClient) -> None:
        self.root = root
        self.run = run
        self.agent = agent

    def path(self, disk: Disk, layer: Layer) -> Path:
        """Where a volume lies."""
        return self.root / disk.id / layer.id

    def create(self, disk: Disk) -> None:
        """Make the first volume's file if it is not there yet; a big site's disks have none until someone looks."""
        if not disk.layers:
            disk.layers.append(Layer(new_id(), "qcow2"))
        path = self.path(disk, disk.layers[0])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            _qemu_img("create", "-q", "-f", disk.layers[0].format, str(fresh), str(disk.size))
            fresh.replace(path)

    def fill(self, disk: Disk, source: Path, source_format: str) -> None:
        """Give a new disk the bytes of an image."""
        self.create(disk)
        layer = disk.layers[-1]
        target = str(self.path(disk, layer))
        _qemu_img("convert", "-n", "-W", "-f", source_format, "-O", layer.format, str(source), target)

    def add_layer(self, disk: Disk) -> Layer:
        """Make the file of a volume over the active one; the caller puts it to use."""
        self.create(disk)
        below, made = disk.layers[-1], Layer(new_id(), "qcow2")
        backing = ("-b", str(self.path(disk, below)), "-F", below.format)
        _qemu_img("create", "-q", "-f", "qcow2", *backing, str(self.path(disk, made)), str(disk.size))
        return made

    def drop_layer(self, disk: Disk, layer: Layer) -> None:
        """Delete a volume's file."""
        self.path(disk, layer).unlink(missing_ok=True)

    def delete(self, disk: Disk) -> None:
        """Delete all of a disk."""
        shutil.rmtree(self.root / disk.id, ignore_errors=True)

    def allocated(self, disk: Disk) -> int:
        """Bytes it takes on its domain."""
        sizes = [
            path.stat().st_blocks * 512 for layer in disk.layers if (path := self.path(disk, layer)).exists()
        ]  # fmt: skip
        return max(sum(sizes), disk.initial_size)

    def check(self, disk: Disk) -> str | None:
        """Look at an uploaded volume as VDSM does (verify_untrusted_volume); say what is wrong with it."""
        layer = disk.layers[-1]
        done = subprocess.run(
            ["qemu-img", "info", "--output=json", "-U", str(self.path(disk, layer))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return f"qemu-img info failed: {done.stderr.strip()}"
        info = json.loads(done.stdout)
        if layer.format == "qcow2":
            if info["format"] != "qcow2":
                return f"volume's format is qcow2, what was written is {info['format']}"
            if info.get("backing-filename"):
                return "the qcow2 names a backing file"
            if info["virtual-size"] > disk.size:
                return f"virtual size {info['virtual-size']} is larger than the disk's {disk.size}"
        return None

    def node(self, disk: Disk, upto: int, *, shallow: bool = False, share: bool = False) -> dict[str, Any]:
        """Build the block graph of a disk's volume number `upto` with all that is under it."""
        layer = disk.layers[upto]
        made: dict[str, Any] = {
            "driver": layer.format,
            "file": {"driver": "file", "filename": str(self.path(disk, layer)), "discard": "unmap"},
        }
        if layer.format == "qcow2":
            made["backing"] = None if shallow or upto == 0 else self.node(disk, upto - 1, share=share)
        if share:
            made["force-share"] = True
        return made

    def serve(
        self, name: str, disk: Disk, upto: int, *, read_only: bool, shallow: bool = False, bytes_per_s: int = 0
    ) -> str:
        """Start a qemu-nbd over a volume; return its address as imageio names it."""
        self.create(disk)
        path = self.run / f"{name[:14]}.nbd"
        path.unlink(missing_ok=True)
        node = self.node(disk, upto, shallow=shallow, share=read_only)
        throttle: list[str] = []
        if bytes_per_s:
            throttle = ["--object", f"throttle-group,id=slow,x-bps-total={bytes_per_s}"]
            node = {"driver": "throttle", "throttle-group": "slow", "file": node}
        command = [
            "qemu-nbd", "--persistent", "--shared=16", "--export-name=", f"--socket={path}",
            "--cache=writeback", "--discard=unmap", "--detect-zeroes=unmap",
            *(["--allocation-depth"] if disk.layers[upto].format == "qcow2" else []),
            *(["--read-only"] if read_only else []),
            *throttle, "json:" + json.dumps(node),
        ]  # fmt: skip
        self.agent.ask("spawn", name=name, command=command)
        self._await_socket(name, path)
        return f"nbd:unix:{path}"

    def unserve(self, name: str) -> None:
        """Stop that qemu-nbd; what it wrote is in the volume then."""
        self.agent.ask("stop", name=name)
        (self.run / f"{name[:14]}.nbd").unlink(missing_ok=True)

    def _await_socket(self, name: str, path: Path) -> None:
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket(socket.AF_UNIX) as stream:
                try:
                    stream.connect(str(path))
                except OSError:
                    state = self.agent.ask("is_alive", name=name)
                    if not state["alive"] or time.monotonic() > deadline:
                        raise StorageError(f"qemu-nbd did not start: {state['log'].strip()[-400:]}") from None
                    time.sleep(0.02)
                else:
                    return


def _qemu_img(*arguments: str) -> None:
    done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"qemu-img {arguments[0]} failed: {done.stderr.strip()}")
