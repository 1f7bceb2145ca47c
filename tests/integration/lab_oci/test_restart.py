"""The site comes back as it was, and nothing of it stays when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab.jobs import is_alive, wait_until
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, Keys

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[3]


def test_kill_and_come_back(tmp_path: Path, keys: Keys) -> None:
    with OciLab(tmp_path / "oci", delay=0.05) as lab:
        clients = Clients(lab)
        made = clients.launch(metadata=keys.metadata)
        address, port = clients.address(made.id), lab.instances()[0].port
        keys.await_ssh(address, port)
        volume = clients.volume()
        clients.attach(made.id, volume.id, "/dev/oracleoci/oraclevdb")
        keys.ssh(
            address, port, "echo abc | sudo dd of=/dev/oracleoci/oraclevdb conv=fsync status=none; echo x >mark; sync"
        )
        lab.put_object(lab.create_bucket("kept", events=False), "object", b"123")
        pid = lab.instances()[0].pid
        lab.kill()
        wait_until(lambda: not is_alive(pid or 0), "the machine is gone")
        lab.start()
        keys.await_ssh(address, port)
        wait_until(lambda: keys.ssh(address, port, "ls /dev/oracleoci").stdout != "", "the volume is there")
        seen = keys.ssh(address, port, "cat mark; sudo head -c3 /dev/oracleoci/oraclevdb").stdout
        assert seen == "x\nabc"
        assert clients.objects.get_object(lab.namespace, "kept", "object").data.content == b"123"
        pid = lab.instances()[0].pid
    assert not is_alive(pid or 0)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in loops


def test_command_ends_with_its_parent(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "lab.oci", "--dir", str(tmp_path / "oci"), "--delay", "0"]
    shell = f"{' '.join(argv)} & read line; kill -9 $$"
    command = ["bash", "-c", shell]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    ) as parent:
        assert parent.stdout
        assert parent.stdin
        told = json.loads(parent.stdout.readline())
        assert told["simulator"] is True
        assert {"endpoint", "config", "ca", "compartment", "namespace", "subnet", "image"} <= set(told)
        pids = _processes_of(tmp_path)
        assert pids
        parent.stdin.write(b"\n")
        parent.stdin.close()
        parent.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "the lab is gone")


def _processes_of(directory: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(directory).encode() in words and b"bash" not in words:
            found.append(int(path.parent.name))
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'provider'}"}
