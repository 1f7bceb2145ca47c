"""Bad input gets one clear error that names what is wrong and how to mend it, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.http import HttpServer
from lab.nbd import serve
from lab.pki import Certificate, create_certificate
from tests.integration.cli.conftest import Run, snapshot

MiB = 1 << 20


def _text(path: Path) -> None:
    path.write_text("dear diary\n" * 100)


def _backed(path: Path) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/hostname", "-F", "raw", path, "1M"], check=True
    )


def _small(path: Path) -> None:
    path.write_bytes(b"x" * MiB)


@pytest.mark.parametrize(
    ("name", "make", "arguments", "code", "words"),
    [
        ("text.qcow2", _text, ["disk", "copy", "text.qcow2", "new.raw"], 1, ["no qcow2 image", "give the real format"]),
        ("backed.qcow2", _backed, ["disk", "copy", "backed.qcow2", "new.raw"], 1, ["backing file", "/etc/hostname"]),
        ("backed.qcow2", _backed, ["vault", "add", "vault", "vm", "root=backed.qcow2"], 1, ["backing file"]),
        ("small.raw", _small, ["disk", "copy", "disk.raw", "small.raw"], 2, ["small.raw", "1.0 MiB", "9.0 MiB"]),
        ("a", _small, ["disk", "copy", "disk.raw", "ftp://host/x"], 2, ["ftp://", "use a path, nbd://"]),
        ("a", _small, ["disk", "copy", "gopher://host/x", "new.raw"], 2, ["gopher://", "use a path, nbd://"]),
        ("a", _small, ["disk", "copy", "disk.raw", "https://host/x"], 2, ["read only"]),
        ("a", _small, ["disk", "copy", "missing.raw", "new.raw"], 2, ["missing.raw", "No such file"]),
        ("a", _small, ["disk", "copy", "disk.raw", "nowhere/new.raw"], 2, ["no directory nowhere"]),
        ("a", _small, ["disk", "copy", ".", "new.raw"], 2, ["is a directory"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw", "--rate", "quick"], 2, ["--rate", "'quick'", "50MiB"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw", "--rate", "0"], 2, ["--rate", "no limit"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw", "--compress"], 2, ["raw image cannot be compressed"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw.gz"], 2, [".gz file cannot be written"]),
        ("a", _small, ["disk", "copy", "disk.raw", "raw:./disk.raw"], 2, ["the same disk"]),
        ("a", _small, ["disk", "copy", "disk.raw", "nbd://127.0.0.1:1/new.raw"], 3, ["Connection refused"]),
        ("a", _small, ["vault", "add", "vault", "vm", "a=disk.raw", "--rate", "0.5"], 2, ["--rate", "no limit"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw", "--format", "floppy"], 2, ["'floppy'", "qcow2"]),
        ("a", _small, ["disk", "copy", "disk.raw", "new.raw", "--dirty", "b"], 2, ["--parent"]),
        ("a", _small, ["disk", "proof", "missing"], 2, ["missing", "No such file"]),
        ("a", _small, ["disk", "fsck", "missing"], 2, ["missing", "No such file"]),
        ("a", _small, ["vault", "ls", "missing"], 2, ["missing is not there"]),
        ("a", _small, ["vault", "add", "vault", "vm", "disk.raw"], 2, ["does not say which disk", "DISK="]),
        ("a", _small, ["vault", "add", "vault", "vm", "a=disk.raw", "a=disk.raw"], 2, ["'a' is given twice"]),
        ("a", _small, ["vault", "add", "vault", "vm", "a=disk.raw", "--dirty", "b"], 2, ["--incremental"]),
        ("a", _small, ["vault", "add", "disk.raw", "vm", "a=disk.raw"], 2, ["not a directory"]),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, list) and len(value) > 2 else None,
)
def test_one_clear_error_and_nothing_changed(
    tmp_path: Path, disk: Path, vmferry: Run, name: str, make: Callable[[Path], None], arguments: list[str], code: int,
    words: list[str],
) -> None:  # fmt: skip
    make(tmp_path / name)
    before = snapshot(tmp_path)
    answer = vmferry(*arguments, code=code)
    assert all(word in answer.err for word in words), answer.err
    assert answer.err.count("vmferry:") == 1
    assert not answer.out
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "new.raw").exists()
    assert not list(tmp_path.glob("state/vmferry/jobs/*"))


def test_with_json_the_error_is_json(tmp_path: Path, vmferry: Run) -> None:
    answer = vmferry("disk", "copy", "missing.raw", "new.raw", "--json", code=2)
    assert answer.json()["error"]["kind"] == "Unreadable"
    assert answer.json()["error"]["fix"]


@pytest.mark.parametrize(
    "arguments",
    [["disk", "copy", "one"], ["nonsense"], ["vault", "add", "v", "vm", "a=b", "--workers", "99"]],
    ids=["too-few", "unknown", "out-of-range"],
)
def test_with_json_words_that_do_not_fit_are_an_error_in_json(vmferry: Run, arguments: list[str]) -> None:
    answer = vmferry(*arguments, "--json", code=2)
    assert answer.json()["error"]["what"] in answer.err
    assert "--help" in answer.json()["error"]["fix"]


def test_a_missing_tool_names_the_package(tmp_path: Path, vmferry: Run) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "a.qcow2", "1M"], check=True)
    answer = vmferry("disk", "copy", "a.qcow2", "new.raw", code=2, PATH=str(tmp_path))
    assert "qemu-utils" in answer.err


def test_a_target_that_another_qemu_writes_to_is_in_use(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    image = tmp_path / "used.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True)
    with serve(image, "qcow2", socket_path=tmp_path / "s"):
        answer = vmferry("disk", "copy", disk, image, code=5)
    assert "used.qcow2" in answer.err


def test_a_raw_source_that_a_vm_writes_to_is_not_read(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    with serve(disk, socket_path=tmp_path / "s"):
        answer = vmferry("disk", "copy", disk, "new.raw", code=2)
        assert "disk.raw is open for writing" in answer.err
        vmferry("vault", "add", "vault", "vm", f"root={disk}", code=2)
    assert not (tmp_path / "new.raw").exists()
    assert not (tmp_path / "vault" / "vm").exists()


def test_an_encrypted_image_is_refused_also_when_it_is_trusted(tmp_path: Path, vmferry: Run) -> None:
    secret = ["--object", "secret,id=s,data=abc", "-o", "encrypt.format=luks,encrypt.key-secret=s"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *secret, tmp_path / "a.qcow2", "1M"], check=True)
    for trust in ([], ["--trust-backing"]):
        answer = vmferry("disk", "copy", "a.qcow2", "new.raw", *trust, code=1)
        assert "decrypt it" in answer.err


def test_a_device_that_takes_no_writes_is_refused_before_the_first(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    (tmp_path / "back").write_bytes(bytes(16 * MiB))
    device = subprocess.run(
        ["losetup", "--find", "--show", "--read-only", tmp_path / "back"], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        assert f"{device} is read-only" in vmferry("disk", "copy", disk, device, code=2).err
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_an_export_that_takes_no_writes_is_refused(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    (tmp_path / "back").write_bytes(bytes(16 * MiB))
    with serve(tmp_path / "back", socket_path=tmp_path / "s", read_only=True) as server:
        assert "exports it read-only" in vmferry("disk", "copy", disk, server.url, code=2).err


@pytest.fixture
def vault(tmp_path: Path, disk: Path, vmferry: Run) -> Path:
    vmferry("vault", "add", "vault", "web01", f"root={disk}")
    return tmp_path / "vault"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prune", "vault", "web01", "--keep-daily", "-1"], ["keep_daily is -1"]),
        (["prune", "vault", "web01", "--keep-daily", "99999999"], ["keep_daily is 99999999"]),
        (["prune", "vault", "web01", "--max-age-days", "0"], ["max_age_days is 0"]),
        (["prune", "vault", "web01"], ["no rule keeps anything"]),
        (["prune", "vault", "web01", "--keep-daily", "1", "--quarantine-hours", "nan"], ["--quarantine-hours"]),
        (["prune", "vault", "web02", "--keep-daily", "1"], ["no VM 'web02'"]),
        (["show", "vault", "web01", "--backup", "1999"], ["'1999' is no backup"]),
        (["restore", "vault", "web01", "data=out.raw"], ["no disk 'data'", "root"]),
        (["restore", "vault", "web01", "root=-", "--json"], ["standard output"]),
    ],
    ids=["negative", "absurd", "zero-age", "no-rule", "no-hours", "no-vm", "no-backup", "no-disk", "stdout-json"],
)
def test_the_vault_refuses_and_stays_as_it_is(
    tmp_path: Path, vault: Path, vmferry: Run, arguments: list[str], words: list[str]
) -> None:
    before = snapshot(tmp_path)
    answer = vmferry("vault", *arguments, code=2)
    assert all(word in answer.err for word in words), answer.err
    assert snapshot(tmp_path) == before


def _edit_point(vault: Path, edit: Callable[[dict[str, object]], None]) -> None:
    (point,) = vault.rglob("point.json")
    raw = json.loads(point.read_text())
    edit(raw)
    point.write_text(json.dumps(raw))


def test_an_edited_point_is_not_believed(tmp_path: Path, vault: Path, vmferry: Run) -> None:
    _edit_point(vault, lambda raw: raw.update(owner="somebody"))
    answer = vmferry("vault", "restore", "vault", "web01", "root=out.raw", code=3)
    assert "point.json" in answer.err
    assert not (tmp_path / "out.raw").exists()
    assert vmferry("vault", "verify", "vault", code=1).out.count("damaged") == 1


def test_a_torn_point_is_named_and_the_others_are_listed(vault: Path, disk: Path, vmferry: Run) -> None:
    (point,) = vault.rglob("point.json")
    point.write_bytes(point.read_bytes()[:-20])
    answer = vmferry("vault", "ls", "vault")
    assert "unreadable" in answer.out


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path, vault: Path, vmferry: Run) -> None:
    from vmferry.vault import sealed

    (point,) = vault.rglob("point.json")
    raw = json.loads(point.read_text())
    sealed.write(point, {**{key: value for key, value in raw.items() if key != "sha256"}, "format_version": 99})
    before = snapshot(tmp_path)
    answer = vmferry("vault", "ls", "vault", code=2)
    assert "99" in answer.err
    assert "upgrade" in answer.err
    assert snapshot(tmp_path) == before


def test_an_object_that_changes_while_it_is_read(tmp_path: Path, vmferry: Run) -> None:
    with _object(os.urandom(24 * MiB)) as server:
        server.rate_bytes_per_s = 4 * MiB
        changer = threading.Thread(target=_change_once_copied, args=(server, tmp_path / "new.raw"))
        changer.start()
        # One connection: what was asked for before the change is still one and the same object.
        answer = vmferry("disk", "copy", f"{server.url}/disk.raw", "new.raw", "--workers", "1", code=3)
        changer.join()
        assert "was replaced while it was being read" in answer.err
        vmferry("disk", "copy", f"{server.url}/disk.raw", "new.raw")  # what was copied is of no use: it begins anew
        found = server.find("/disk.raw")
        assert found is not None
        assert found.content == (tmp_path / "new.raw").read_bytes()


def _change_once_copied(server: HttpServer, target: Path) -> None:
    """Replace the object once its copy is on the way: the target is there, and more was read."""
    _await(target.exists)
    begun = server.counts.body_bytes
    _await(lambda: server.counts.body_bytes >= begun + MiB)
    server.put("/disk.raw", os.urandom(24 * MiB))


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        threading.Event().wait(0.01)


def test_a_stranger_s_certificate_is_refused(tmp_path: Path, vmferry: Run) -> None:
    certificate = create_certificate(tmp_path / "pki")
    with _object(b"x" * MiB, certificate) as server:
        answer = vmferry("disk", "copy", f"{server.url}/disk.raw", "new.raw", code=2)
        assert "certificate" in answer.err
        assert not (tmp_path / "new.raw").exists()
        vmferry("disk", "copy", f"{server.url}/disk.raw", "new.raw", "--tls-ca", certificate.ca)
    assert (tmp_path / "new.raw").read_bytes() == b"x" * MiB


@contextlib.contextmanager
def _object(content: bytes, certificate: Certificate | None = None) -> Iterator[HttpServer]:
    with HttpServer(certificate) as server:
        server.put("/disk.raw", content)
        yield server
