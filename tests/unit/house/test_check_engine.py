"""The check that keeps the engine to the standard library of Python 3.9."""

from pathlib import Path

import pytest
from scripts.check_engine import find_faults


def write(engine: Path, name: str, text: str) -> None:
    path = engine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("pump.py", "import os.path, json\nfrom collections.abc import Iterator\n", id="standard-library"),
        pytest.param(
            "pump.py", "from vmferry.engine.units import MiB\nimport vmferry.engine\n", id="the-engine-itself"
        ),
        pytest.param("pump.py", "from vmferry import __version__, engine\n", id="the-version"),
        pytest.param("pump.py", "from __future__ import annotations\n", id="future"),
        pytest.param(
            "pump.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pydantic\n",
            id="for-the-type-checker",
        ),
        pytest.param(
            "endpoints/imageio.py", "def connect():\n    from ovirt_imageio import client\n", id="imageio-in-a-function"
        ),
    ],
)
def test_allows(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)
    assert list(find_faults(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "text", "module"),
    [
        pytest.param("pump.py", "import requests\n", "requests", id="third-party"),
        pytest.param("pump.py", "def run():\n    import click\n", "click", id="third-party-in-a-function"),
        pytest.param("pump.py", "import tomllib\n", "tomllib", id="newer-than-3.9"),
        pytest.param("pump.py", "import distutils.util\n", "distutils.util", id="gone-since-3.12"),
        pytest.param("pump.py", "from vmferry.vault import chain\n", "vmferry.vault", id="a-room-above"),
        pytest.param("pump.py", "from vmferry import vault\n", "vmferry.vault", id="a-room-above-by-its-name"),
        pytest.param("pump.py", "from vmferry.enginex import y\n", "vmferry.enginex", id="a-name-that-looks-alike"),
        pytest.param("pump.py", "from . import units\n", ".", id="relative"),
        pytest.param("endpoints/imageio.py", "import ovirt_imageio\n", "ovirt_imageio", id="imageio-at-the-top"),
        pytest.param("pump.py", "def f():\n    import ovirt_imageio\n", "ovirt_imageio", id="imageio-elsewhere"),
    ],
)
def test_finds(tmp_path: Path, name: str, text: str, module: str) -> None:
    write(tmp_path, name, text)
    (fault,) = find_faults(tmp_path)
    assert f"imports {module}," in fault
    assert name in fault


FUTURE = "from __future__ import annotations\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Size = int | None\n", id="alias"),
        pytest.param("def f(x):\n    return isinstance(x, int | str)\n", id="isinstance"),
        pytest.param("def f(x):\n    return cast(list[int] | bytes, x)\n", id="argument"),
    ],
)
def test_finds_a_union_that_is_evaluated(tmp_path: Path, text: str) -> None:
    write(tmp_path, "pump.py", FUTURE + text)
    (fault,) = find_faults(tmp_path)
    assert "evaluates a union" in fault


def test_finds_a_union_in_an_annotation_that_is_not_put_off(tmp_path: Path) -> None:
    write(tmp_path, "pump.py", "def f(x: int | None): ...\n")
    (fault,) = find_faults(tmp_path)
    assert "pump.py:1:" in fault


def test_allows_unions_in_annotations_and_bits_in_code(tmp_path: Path) -> None:
    annotated = "x: int | None = 1\ndef f(a: str | None, b: int) -> int | None:\n    return a | b\n"
    write(tmp_path, "pump.py", FUTURE + annotated + "import os\nflags = os.O_RDONLY | os.O_CLOEXEC\n")
    assert list(find_faults(tmp_path)) == []
