"""Instances are real machines: their host key is the one we gave, volumes are real bytes at the real path."""

from __future__ import annotations

import os
from collections.abc import Callable

import oci
import pytest
from lab.jobs import is_alive, wait_until
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, Keys, encode

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
DEVICE = "/dev/oracleoci/oraclevdb"
Run = Callable[[str], str]


def test_worker_is_opc_with_sudo(run: Run) -> None:
    assert run("id -un; sudo -n id -un; cat /etc/hostname >/dev/null 2>&1; hostname") == "opc\nroot\nworker\n"


def test_cloud_init_is_awaited(run: Run) -> None:
    assert run("cloud-init status --wait") == "status: done\n"
    assert run("cat /run/cloud-init/result.json") == '{"v1": {"datasource": "DataSourceOracle", "errors": []}}'


def test_cloud_init_files_commands_and_failure(clients: Clients, lab: OciLab, keys: Keys) -> None:
    config = (
        "#cloud-config\nwrite_files:\n- {path: /etc/mark, content: abc, permissions: '0600'}\nruncmd:\n"
        "- [cp, /etc/mark, /etc/copy]\n- sudo -u ferry sudo -n touch /etc/ferry\n- exit 3\n"
        "users: [default, {name: ferry, sudo: 'ALL=(ALL) NOPASSWD:ALL', ssh_authorized_keys: [ssh-ed25519 AAAA x]}]\n"
    )
    made = clients.launch(metadata={"user_data": encode(config), "ssh_authorized_keys": "ssh-ed25519 AAAA nobody"})
    found = next(one for one in lab.instances() if one.id == made.id)
    wait_until(lambda: next(one for one in lab.instances() if one.id == made.id).cloud_init == "error", "it failed")
    assert found.pid
    root = f"/proc/{found.pid}/root"
    with open(f"{root}/etc/copy") as file:  # noqa: PTH123 - a path of another process
        assert file.read() == "abc"
    assert os.path.exists(f"{root}/etc/ferry")  # noqa: PTH110 - the same
    clients.compute.terminate_instance(made.id)
    clients.await_state(clients.compute.get_instance, made.id, "TERMINATED")
    wait_until(lambda: not is_alive(found.pid or 0), "its first process is gone")


def test_volume_appears_and_vanishes(worker: str, clients: Clients, lab: OciLab, run: Run) -> None:
    volume = clients.volume()
    attachment = clients.attach(worker, volume.id, DEVICE)
    assert run(f"readlink -f {DEVICE}; sudo blockdev --getsize64 {DEVICE}") == f"/dev/sdb\n{50 << 30}\n"
    run(f"echo hello | sudo dd of={DEVICE} bs=1 seek=1M conv=fsync status=none")
    with lab.volume_path(volume.id).open("rb") as file:
        assert os.pread(file.fileno(), 5, 1 << 20) == b"hello"
    clients.detach(attachment.id)
    assert run("ls /dev/oracleoci") == ""
    clients.blocks.delete_volume(volume.id)
    path = lab.volume_path(volume.id)
    clients.await_state(clients.blocks.get_volume, volume.id, "TERMINATED")
    assert not path.exists()


def test_writer_fails_when_its_volume_is_pulled(worker: str, clients: Clients, run: Run) -> None:
    volume = clients.volume()
    attachment = clients.attach(worker, volume.id, DEVICE)
    run(
        f"(sudo setsid sh -c 'while dd if=/dev/zero of=/dev/fd/9 bs=64k count=1 oflag=dsync; do :; done 9<>{DEVICE}; "
        "echo ended >/tmp/ended' >/dev/null 2>&1 &) ; sleep 0.2"
    )
    clients.detach(attachment.id)
    wait_until(lambda: run("cat /tmp/ended 2>/dev/null || true") == "ended\n", "the writer failed")
    clients.blocks.delete_volume(volume.id)


def test_two_workers_have_the_same_path_each(worker: str, clients: Clients, lab: OciLab, keys: Keys, run: Run) -> None:
    other = clients.launch(display_name="second", metadata=keys.metadata)
    address, port = clients.address(other.id), lab.instances()[0].port
    keys.await_ssh(address, port)
    volumes = [clients.volume(), clients.volume()]
    one, two = clients.attach(worker, volumes[0].id, DEVICE), clients.attach(other.id, volumes[1].id, DEVICE)
    run(f"echo one | sudo dd of={DEVICE} conv=fsync status=none")
    assert keys.ssh(address, port, f"echo two | sudo dd of={DEVICE} conv=fsync status=none").returncode == 0
    for volume, text in zip(volumes, (b"one", b"two"), strict=True):
        with lab.volume_path(volume.id).open("rb") as file:
            assert file.read(3) == text
    for attachment in (one, two):
        clients.detach(attachment.id)
    clients.compute.terminate_instance(other.id)
    clients.await_state(clients.compute.get_instance, other.id, "TERMINATED")
    assert keys.ssh(address, port, "true").returncode == 255


def test_iscsi_by_agent_and_by_hand(worker: str, clients: Clients, lab: OciLab, run: Run) -> None:
    volume = clients.volume()
    for automatic in (True, False):
        details = oci.core.models.AttachIScsiVolumeDetails(
            instance_id=worker, volume_id=volume.id, device=DEVICE, is_agent_auto_iscsi_login_enabled=automatic
        )
        made = clients.compute.attach_volume(details).data
        made = clients.await_state(clients.compute.get_volume_attachment, made.id, "ATTACHED")
        assert made.iqn.startswith("iqn.2015-12.com.oracleiaas:")
        if not automatic:
            assert run("ls /dev/oracleoci") == ""
            lab.hook("iscsi_login", id=made.id)
        assert run("ls /dev/oracleoci") == "oraclevdb\n"
        clients.detach(made.id)
    clients.blocks.delete_volume(volume.id)


def test_boot_volume_as_a_volume(worker: str, clients: Clients, lab: OciLab, run: Run) -> None:
    lab.fault("stuck", {"kind": "instance", "state": "RUNNING"})
    made = clients.launch(wait=False)
    boots = clients.compute.list_boot_volume_attachments(lab.domains[0], lab.compartment, instance_id=made.id).data
    clients.compute.terminate_instance(made.id, preserve_boot_volume=True)
    clients.await_state(clients.compute.get_instance, made.id, "TERMINATED")
    boot = clients.blocks.get_boot_volume(boots[0].boot_volume_id).data
    assert boot.lifecycle_state == "AVAILABLE"
    attachment = clients.attach(worker, boot.id, DEVICE)
    run(f"echo boots | sudo dd of={DEVICE} conv=fsync status=none")
    clients.detach(attachment.id)
    with lab.volume_path(boot.id).open("rb") as file:
        assert file.read(5) == b"boots"
    clients.blocks.delete_boot_volume(boot.id)
    clients.await_state(clients.blocks.get_boot_volume, boot.id, "TERMINATED")
