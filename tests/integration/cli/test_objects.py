"""Objects behind HTTP are looked at like files, and what is secret about them stays secret."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from lab.http import HttpServer
from tests.integration.cli.conftest import Run

MiB = 1 << 20


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    content = os.urandom(3 * MiB) + bytes(5 * MiB) + os.urandom(MiB)
    (tmp_path / "disk.raw").write_bytes(content)
    return content


@pytest.mark.parametrize("name", ["disk.raw", "disk.qcow2", "disk.vmdk", "disk.raw.gz"])
def test_every_format_of_an_object_becomes_the_disk(tmp_path: Path, raw: bytes, vmferry: Run, name: str) -> None:
    _make(tmp_path, name, raw)
    with HttpServer() as server:
        server.put(f"/{name}", tmp_path / name)
        vmferry("disk", "copy", f"{server.url}/{name}", "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == raw


def test_an_image_under_a_name_that_says_nothing_is_not_copied_as_raw(tmp_path: Path, raw: bytes, vmferry: Run) -> None:
    _make(tmp_path, "disk.qcow2", raw)
    with HttpServer() as server:
        server.put("/download", tmp_path / "disk.qcow2")
        server.put("/odd.raw", tmp_path / "disk.qcow2")
        vmferry("disk", "copy", f"{server.url}/download", "out.raw")
        refused = vmferry("disk", "copy", f"{server.url}/odd.raw", "other.raw", code=1)
    assert (tmp_path / "out.raw").read_bytes() == raw
    assert "is qcow2" in refused.err
    assert not (tmp_path / "other.raw").exists()


def test_a_signature_and_a_header_are_found_nowhere(tmp_path: Path, raw: bytes, vmferry: Run) -> None:
    with HttpServer() as server:
        server.required_header = ("Authorization", "Bearer planted-header")
        server.put("/disk.raw", tmp_path / "disk.raw")
        url = f"{server.url}/disk.raw?signature=planted-signature"
        answer = vmferry("disk", "copy", url, "out.raw", "--job", "job", "--headers", "-", "--json",
                         stdin="Authorization: Bearer planted-header\n")  # fmt: skip
    told = answer.out + answer.err + "".join(p.read_text(errors="replace") for p in (tmp_path / "job").iterdir())
    assert "planted" not in told
    assert (tmp_path / "out.raw").read_bytes() == raw


def _make(room: Path, name: str, raw: bytes) -> None:
    if name.endswith(".gz"):
        (room / name).write_bytes(gzip.compress(raw, 1))
    elif not name.endswith(".raw"):
        kind = Path(name).suffix[1:]
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, room / "disk.raw", room / name], check=True)
