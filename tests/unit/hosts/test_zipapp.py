from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vmferry
from vmferry.hosts import zipapp


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    one = zipapp.build_zipapp()
    done = subprocess.run(
        [sys.executable, "-m", "vmferry.hosts.zipapp", str(tmp_path / "out.pyz")],
        env={**os.environ, "PYTHONPATH": str(Path(vmferry.__file__).parent.parent), "TZ": "Asia/Tokyo"},
        umask=0o077,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "out.pyz").read_bytes() == one
    assert done.stdout.split()[1].decode() == str(tmp_path / "out.pyz")


def test_only_the_engine_is_inside() -> None:
    with zipfile.ZipFile(io.BytesIO(zipapp.build_zipapp())) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {"__main__.py", "vmferry/__init__.py", "vmferry/engine/command.py"} <= set(names)
    assert all(name.startswith("vmferry/engine/") for name in names[1:] if name != "vmferry/__init__.py")


def test_it_is_packed_once_for_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = zipapp.cached_zipapp(tmp_path)
    stamp = first.path.stat().st_mtime_ns
    assert zipapp.cached_zipapp(tmp_path) == first
    assert first.path.stat().st_mtime_ns == stamp
    monkeypatch.setattr(zipapp, "SHEBANG", b"#!/usr/bin/python3\n")
    assert zipapp.cached_zipapp(tmp_path).path != first.path
    assert [path.name.startswith("engine-") for path in tmp_path.iterdir()] == [True, True]


def test_it_can_be_packed_from_where_a_wheel_puts_it(tmp_path: Path) -> None:
    shutil.copytree(Path(vmferry.__file__).parent, tmp_path / "site" / "vmferry")
    subprocess.run(
        [sys.executable, "-S", "-P", "-m", "vmferry.hosts.zipapp", str(tmp_path / "out.pyz")],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert (tmp_path / "out.pyz").read_bytes() == zipapp.build_zipapp()


def test_a_bare_python_runs_it(tmp_path: Path) -> None:
    zipapp.write_zipapp(tmp_path / "engine.pyz")
    argv = [sys.executable, "-I", "-S", str(tmp_path / "engine.pyz"), "version"]
    done = subprocess.run(argv, capture_output=True, check=True, cwd="/", env={})
    assert json.loads(done.stdout)["version"] == vmferry.__version__
