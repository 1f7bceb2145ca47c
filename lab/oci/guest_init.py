"""The first process of an instance: ``python -m lab.oci.guest_init FD``, started by guests.py in fresh namespaces.

Process 1 only buries the dead. Its child makes the root, starts sshd, does what cloud-init does, and attaches and
detaches volumes as it is told over a socket; volumes come as open files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.oci import cloud_init, guest_rooms
from vmferry.engine.filesystems.loop import loop_device

_LOOP_SET_STATUS64, _LOOP_GET_STATUS64, _STATUS_BYTES = 0x4C04, 0x4C05, 232
_SIZE_LIMIT_AT, _NO_MORE_BYTES = 32, 512
_SSHD = "/usr/sbin/sshd"
_OPC = "opc:x:1000:1000:Oracle Public Cloud User:/home/opc:/bin/bash\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUDOERS = (
    f'Defaults secure_path="{_PATH}"\nroot ALL=(ALL) ALL\nopc ALL=(ALL) NOPASSWD: ALL\n@includedir /etc/sudoers.d\n'
)


@dataclass
class Attached:
    """A volume that is there."""

    device: str
    kernel_name: str
    stack: contextlib.ExitStack
    loop: Path


@dataclass
class Machine:
    """The instance, from inside."""

    wish: dict[str, Any]
    attached: dict[str, Attached] = field(default_factory=dict)
    sshd: subprocess.Popen[bytes] | None = None
    frozen_until: float = 0.0

    def boot(self) -> None:
        """Come up: keys first, then sshd, then what takes long."""
        data = cloud_init.read_user_data(self.wish["user_data"])
        cloud_init.install()
        _make_users()
        _trust(self.wish["authority"])
        cloud_init.authorize("opc", self.wish["authorized_keys"])
        try:
            cloud_init.apply_early(data)
        except (OSError, KeyError, ValueError, TypeError, subprocess.CalledProcessError) as error:
            data.error = f"early stages: {error!r}"
        _configure_sshd(self.wish)
        threading.Thread(target=self._keep_sshd, daemon=True).start()
        threading.Thread(target=self._end_cloud_init, args=(data,), daemon=True).start()

    def answer(self, question: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """Do what the site asks for."""
        if question["do"] == "attach":
            return self._attach(question, files[0])
        if question["do"] == "detach":
            return self._detach(question["id"])
        if question["do"] == "freeze":
            threading.Thread(target=self._freeze, args=(float(question["seconds"]),), daemon=True).start()
            return {}
        if question["do"] == "kill_sshd":
            return {"killed": _signal_sshds(signal.SIGKILL)}
        return {"error": f"no such thing to do: {question['do']}"}

    def _attach(self, question: dict[str, Any], file: int) -> dict[str, Any]:
        kernel_name = next(
            f"sd{letter}"
            for letter in "bcdefghijklmnopqrstuvwxyz"
            if all(one.kernel_name != f"sd{letter}" for one in self.attached.values())
        )
        stack = contextlib.ExitStack()
        loop = stack.enter_context(loop_device(file, 0, 0, writable=not question["read_only"]))
        os.close(file)
        guest_rooms.add_device(question["device"], loop, kernel_name)
        self.attached[question["id"]] = Attached(question["device"], kernel_name, stack, loop)
        return {"kernel_name": kernel_name}

    def _detach(self, id: str) -> dict[str, Any]:
        found = self.attached.pop(id, None)
        if found is None:
            return {}
        guest_rooms.remove_device(found.device, found.kernel_name)
        _starve(found.loop)
        found.stack.close()
        return {}

    def _keep_sshd(self) -> None:
        time.sleep(self.wish["boot_delay"])
        while True:
            self.sshd = subprocess.Popen([_SSHD, "-D", "-E", "/var/log/sshd.log"], stdin=subprocess.DEVNULL)
            self.sshd.wait()
            time.sleep(self.wish["sshd_restart_delay"])

    def _end_cloud_init(self, data: cloud_init.UserData) -> None:
        time.sleep(self.wish["cloud_init_delay"])
        if self.wish["cloud_init_error"]:
            cloud_init.finish([self.wish["cloud_init_error"]])
        else:
            cloud_init.apply_late(data)

    def _freeze(self, seconds: float) -> None:
        """Be unreachable for a while: connections neither end nor go on, and what runs goes on running."""
        self.frozen_until = time.monotonic() + seconds
        _signal_sshds(signal.SIGSTOP)
        while time.monotonic() < self.frozen_until:
            time.sleep(0.05)
            _signal_sshds(signal.SIGSTOP)
        _signal_sshds(signal.SIGCONT)


def main() -> None:
    """Be process 1."""
    agent = os.fork()
    if agent == 0:
        _run_agent(int(sys.argv[1]))
        return
    while True:
        pid, _ = os.wait()
        if pid == agent:
            os._exit(1)  # process 1 is gone, so all is gone


def _run_agent(descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as line:
        machine = Machine(json.loads(line.recv(1 << 20)))
        try:
            os.environ["PATH"] = _PATH
            guest_rooms.enter_root(Path(machine.wish["directory"]), Path(machine.wish["image"]))
            socket.sethostname(machine.wish["hostname"])
            machine.boot()
        except Exception as error:  # noqa: BLE001 - a border: the site has to know why
            line.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
            return
        line.send(b"{}")
        while True:
            text, files, _, _ = socket.recv_fds(line, 1 << 16, 1)
            if not text:
                return
            line.send(json.dumps(_answer(machine, json.loads(text), files)).encode())


def _answer(machine: Machine, question: dict[str, Any], files: list[int]) -> dict[str, Any]:
    try:
        return machine.answer(question, files)
    except (OSError, RuntimeError, StopIteration) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _starve(loop: Path) -> None:
    """Let a device fail for those who still have it open, as one does that is pulled: it has no bytes any more."""
    descriptor = os.open(loop, os.O_RDWR)
    try:
        status = bytearray(_STATUS_BYTES)
        fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, status)
        os.fsync(descriptor)
        struct.pack_into("<Q", status, _SIZE_LIMIT_AT, _NO_MORE_BYTES)
        with contextlib.suppress(OSError):
            fcntl.ioctl(descriptor, _LOOP_SET_STATUS64, bytes(status))
    finally:
        os.close(descriptor)


def _make_users() -> None:
    keep = [line for line in Path("/etc/passwd").read_text().splitlines(True) if int(line.split(":")[2]) < 1000]
    Path("/etc/passwd").write_text("".join(keep) + _OPC)
    groups = [line for line in Path("/etc/group").read_text().splitlines(True) if int(line.split(":")[2]) < 1000]
    Path("/etc/group").write_text("".join(groups) + "opc:x:1000:\n")
    Path("/etc/shadow").write_text("root:*:19000::::::\nopc:*:19000::::::\nsshd:*:19000::::::\n")
    Path("/etc/shadow").chmod(0o600)
    Path("/etc/sudoers").unlink(missing_ok=True)
    Path("/etc/sudoers").write_text(_SUDOERS)
    Path("/etc/sudoers").chmod(0o440)
    home = Path(pwd.getpwnam("opc").pw_dir)
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, 1000, 1000)


def _trust(pem: str) -> None:
    """Add an authority to the system's: to the file that some programs read, and the directory that others do."""
    certificates = Path("/etc/ssl/certs")
    authority = certificates / "lab-authority.pem"
    if not pem or authority.exists():
        return
    authority.write_text(pem)
    with (certificates / "ca-certificates.crt").open("a") as bundle:
        bundle.write(pem)
    argv = ["openssl", "x509", "-hash", "-noout", "-in", str(authority)]
    name = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    (certificates / f"{name}.0").symlink_to(authority.name)


def _configure_sshd(wish: dict[str, Any]) -> None:
    Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n{wish['address']} {wish['hostname']}\n")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    if not any(Path("/etc/ssh").glob("ssh_host_*_key")):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", "/etc/ssh/ssh_host_ed25519_key"]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    lines = [
        f"Port {wish['port']}", f"ListenAddress {wish['address']}", "AuthenticationMethods publickey",
        "PermitRootLogin no", "UsePAM no", "PidFile none", "PrintMotd no", "MaxStartups 100", "MaxSessions 100",
        "Subsystem sftp internal-sftp",
        *(f"HostKey {path}" for path in sorted(Path("/etc/ssh").glob("ssh_host_*_key"))),
        "SetEnv " + " ".join(f'{name}="{value}"' for name, value in {"PATH": _PATH, **wish["env"]}.items()),
    ]  # fmt: skip
    Path("/etc/ssh/sshd_config").write_text("\n".join(lines) + "\n")


def _signal_sshds(number: signal.Signals) -> int:
    count = 0
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().startswith("sshd"):  # and sshd-session, since OpenSSH 9.8
                os.kill(int(path.parent.name), number)
                count += 1
    return count


if __name__ == "__main__":
    main()
