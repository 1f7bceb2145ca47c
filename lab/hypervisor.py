"""A machine's disk as a hypervisor keeps it: a real qemu serves it to the guest, tracks changes, and freezes points.

No simulator: qemu's own storage daemon does what it does under a virtual machine. The guest writes over the export
``guest``; `freeze` starts a copy-before-write of the disk, so that the frozen moment can be read over NBD, with the
dirty bitmap since the last one, while the guest goes on writing.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

_START_S = 30.0


@dataclass(frozen=True, slots=True)
class FrozenPoint:
    """A moment of the disk that can be read."""

    url: str
    """Where, as NBD."""
    bitmap: str | None
    """What changed since the point before; None at the first one."""
    number: int
    """Which one it is."""


class Hypervisor:
    """Runs one qemu-storage-daemon over one qcow2; a context manager."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self._room = tempfile.TemporaryDirectory(prefix="vmferry-lab-")
        self._nbd = Path(self._room.name) / "nbd.sock"
        self._numbers = itertools.count()
        self._events: deque[dict[str, Any]] = deque()
        self._frozen: FrozenPoint | None = None
        qmp = Path(self._room.name) / "qmp.sock"
        # --nbd-server max-connections=0: as many readers at once as want to.
        self._process = subprocess.Popen([
            "setpriv", "--pdeathsig", "KILL", "--", "qemu-storage-daemon",
            "--blockdev", f"driver=file,node-name=file,filename={image},discard=unmap",
            "--blockdev", "driver=qcow2,node-name=disk,file=file,discard=unmap",
            "--nbd-server", f"addr.type=unix,addr.path={self._nbd},max-connections=0",
            "--export", "type=nbd,id=guest,node-name=disk,name=guest,writable=on",
            "--chardev", f"socket,id=qmp,path={qmp},server=on,wait=off",
            "--monitor", "chardev=qmp",
        ])  # fmt: skip
        self._qmp = self._dial(qmp)
        self._lines = self._qmp.makefile("r", encoding="utf-8")
        self._lines.readline()
        self.command("qmp_capabilities")

    @property
    def guest_url(self) -> str:
        """Where the guest reads and writes."""
        return f"nbd+unix:///guest?socket={self._nbd}"

    def freeze(self) -> FrozenPoint:
        """Freeze this very moment; the guest goes on."""
        if self._frozen is not None:
            raise RuntimeError("the last point is still frozen")
        number = next(self._numbers)
        scratch = Path(self._room.name) / f"scratch{number}.qcow2"
        self._add_scratch(scratch, number)
        steps: list[dict[str, Any]] = [
            {"type": "blockdev-backup", "data": {
                "job-id": f"freeze{number}", "device": "disk", "target": f"scratch{number}", "sync": "none"}},
            {"type": "block-dirty-bitmap-add", "data": {"node": "disk", "name": f"since{number}", "persistent": True}},
        ]  # fmt: skip
        bitmap = f"since{number - 1}" if number else None
        if bitmap:
            steps.append({"type": "block-dirty-bitmap-disable", "data": {"node": "disk", "name": bitmap}})
        self.command("transaction", actions=steps)
        bitmaps = [{"node": "disk", "name": bitmap}] if bitmap else []
        self.command(
            "block-export-add", type="nbd", id=f"point{number}", **{"node-name": f"scratch{number}"},
            name=f"point{number}", bitmaps=bitmaps,
        )  # fmt: skip
        self._frozen = FrozenPoint(f"nbd+unix:///point{number}?socket={self._nbd}", bitmap, number)
        return self._frozen

    def release(self) -> None:
        """Let the frozen moment go."""
        point, self._frozen = self._frozen, None
        if point is None:
            return
        self.command("block-export-del", id=f"point{point.number}", mode="hard")
        self._await_event("BLOCK_EXPORT_DELETED")
        self.command("job-cancel", id=f"freeze{point.number}")
        self._await_event("JOB_STATUS_CHANGE", status="null")
        self.command("blockdev-del", **{"node-name": f"scratch{point.number}"})
        if point.bitmap:
            self.command("block-dirty-bitmap-remove", node="disk", name=point.bitmap)

    def resize(self, size_bytes: int) -> None:
        """Make the disk larger. An export keeps the size it began with, so the guest has to connect again."""
        self.command("block-export-del", id="guest", mode="hard")
        self._await_event("BLOCK_EXPORT_DELETED")
        self.command("block_resize", **{"node-name": "disk", "size": size_bytes})
        self.command("block-export-add", type="nbd", id="guest", name="guest", writable=True, **{"node-name": "disk"})

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Give one command to qemu and return its answer."""
        self._qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"qemu refused {name}: {answer['error']['desc']}")
            self._events.append(answer)

    def close(self) -> None:
        """Stop qemu as a hypervisor does, so that the bitmaps are stored."""
        self._lines.close()
        self._qmp.close()
        self._process.terminate()
        self._process.wait(_START_S)
        self._room.cleanup()

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _add_scratch(self, path: Path, number: int) -> None:
        size = self.command("query-named-block-nodes", flat=True)
        bytes_ = next(node["image"]["virtual-size"] for node in size if node["node-name"] == "disk")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(bytes_)], check=True)
        self.command(
            "blockdev-add", driver="qcow2", backing="disk", **{"node-name": f"scratch{number}"},
            file={"driver": "file", "filename": str(path)},
        )  # fmt: skip

    def _dial(self, path: Path) -> socket.socket:
        deadline = time.monotonic() + _START_S
        while True:
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                stream.connect(str(path))
            except OSError:
                stream.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"qemu-storage-daemon did not start for {self._image}") from None
                time.sleep(0.02)
            else:
                stream.settimeout(_START_S)
                return stream

    def _await_event(self, name: str, **data: str) -> None:
        while True:
            event = self._events.popleft() if self._events else self._read()
            if event.get("event") == name and data.items() <= event["data"].items():
                return

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise RuntimeError("qemu-storage-daemon is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer
