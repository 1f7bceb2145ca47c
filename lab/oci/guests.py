"""The machines behind instances, from outside: real sshd processes in namespaces of their own, which die with us."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.oci import guest_rooms
from lab.oci.cloud_init import STATUS
from vmferry.engine.qemu.child import start_bound

_ROOT = Path(__file__).resolve().parents[2]
BOOT_BYTES = 4 << 30
"""The boot volume's image. Only what is written takes space."""
_ANSWER_S = 120.0


class GuestError(RuntimeError):
    """A machine that did not come up or did not do what it was asked for."""


@dataclass(frozen=True)
class GuestWish:
    """What a machine should be."""

    directory: Path
    hostname: str
    address: str
    port: int
    authorized_keys: list[str]
    user_data: str
    boot_delay: float
    cloud_init_delay: float
    sshd_restart_delay: float = 1.0
    cloud_init_error: str = ""
    env: dict[str, str] = field(default_factory=dict)
    authority: str = ""
    """PEM of an authority that programs in the machine trust, as real ones trust who signed OCI's endpoints."""


class Guest:
    """One machine that runs."""

    def __init__(self, wish: GuestWish) -> None:
        self._lock = threading.Lock()
        wish.directory.mkdir(parents=True, exist_ok=True)
        image = wish.directory / "boot.img"
        if not image.exists():
            guest_rooms.make_boot_image(image, BOOT_BYTES)
        self._line, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(_ANSWER_S)
        with inside, (wish.directory / "console.log").open("ab") as log:
            self._process = start_bound(
                _command(inside.fileno()), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_ROOT,
                env=_environment(), pass_fds=(inside.fileno(),),
            )  # fmt: skip
        try:
            self.ask({**wish.__dict__, "directory": str(wish.directory), "image": str(image)})
        except BaseException:
            self.kill()
            raise

    @property
    def init_pid(self) -> int | None:
        """The first process of the machine, as this machine numbers it."""
        try:
            text = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        except OSError:
            return None
        return int(text.split()[0]) if text.split() else None

    @property
    def is_running(self) -> bool:
        """Tell whether the machine is there."""
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], *files: int) -> dict[str, Any]:
        """Let the machine do something; raises `GuestError` when it did not."""
        with self._lock:
            try:
                socket.send_fds(self._line, [json.dumps(question).encode()], list(files))
                text = self._line.recv(1 << 16)
            except OSError as error:
                raise GuestError(f"the instance does not answer: {error}") from error
        answer: dict[str, Any] = json.loads(text) if text else {"error": "the instance is gone"}
        if "error" in answer:
            raise GuestError(answer["error"])
        return answer

    def attach(self, id: str, path: Path, device: str, *, read_only: bool) -> str:
        """Let a volume appear; returns the kernel's name for it."""
        descriptor = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
        try:
            answer = self.ask({"do": "attach", "id": id, "device": device, "read_only": read_only}, descriptor)
        finally:
            os.close(descriptor)
        return str(answer["kernel_name"])

    def detach(self, id: str) -> None:
        """Let a volume vanish; whoever has it open gets errors."""
        self.ask({"do": "detach", "id": id})

    def cloud_init_status(self) -> str:
        """Say what its cloud-init would say."""
        pid = self.init_pid
        try:
            return Path(f"/proc/{pid}/root{STATUS}").read_text()
        except OSError:
            return "not started"

    def kill(self) -> None:
        """End it and all that runs in it, as when the power goes; returns when all of it is gone.

        May be called twice.
        """
        pid = self.init_pid
        if pid is not None and self.is_running:
            os.kill(pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        self._line.close()


def _command(descriptor: int) -> list[str]:
    spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    return [*spaces, sys.executable, "-m", "lab.oci.guest_init", str(descriptor)]


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), str(_ROOT / "provider")]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
