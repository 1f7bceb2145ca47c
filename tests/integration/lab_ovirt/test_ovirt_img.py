"""oVirt's own command line against the simulated engine: it knows nothing of us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.ovirt import OvirtLab
from tests.integration.lab_ovirt.client import Client, MiB, checksum, noise, witness


@pytest.fixture
def ovirt_img(lab: OvirtLab, tmp_path: Path) -> Callable[..., str]:
    config = tmp_path / "config" / "ovirt-img.conf"
    config.parent.mkdir()
    config.touch(mode=0o600)
    config.write_text(
        f"[lab]\nengine_url = {lab.address}\nusername = {lab.user}\n"
        f"password = {lab.password_secret}\ncafile = {lab.ca}\n"
    )
    program = str(Path(sys.executable).with_name("ovirt-img"))

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, program, *arguments, "-c", "lab"], capture_output=True, text=True, check=False,
            env={**os.environ, "XDG_CONFIG_HOME": str(config.parent)}, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_download_and_upload(
    lab: OvirtLab, client: Client, tmp_path: Path, ovirt_img: Callable[..., str], new_name: Callable[[], str]
) -> None:
    name = new_name()
    vm = lab.add_vm(name, [{"size": 8 * MiB}])
    lab.guest_write(vm.disks[0], MiB, noise("img", MiB))
    client.vm(vm.id).stop()
    client.await_down(vm.id)
    got = tmp_path / "got.qcow2"
    ovirt_img("download-disk", vm.disks[0], str(got))
    assert checksum(got) == witness(lab, vm.disks[0], tmp_path / "w")
    ovirt_img("upload-disk", "--storage-domain", "prod-data", "--name", f"{name}-copy", str(got))
    copy = client.system.disks_service().list(search=f"name={name}-copy")[0]
    assert witness(lab, copy.id, tmp_path / "w") == checksum(got)
    assert not lab.state()["open_transfers"]
