"""The import contracts of pyproject.toml, held against a small house with one import too many."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ["engine", "vault", "hosts", "hooks", "operators", "console", "cli", "platforms.ovirt", "platforms.oci"]


def build(tree: Path, room: str, line: str) -> None:
    """All rooms, empty but for an import that is fine in each, and `line` in one of them."""
    for name in ROOMS:
        folder = tree / "vmferry" / name.replace(".", "/")
        folder.mkdir(parents=True)
        (folder / "thing.py").write_text("" if name == "engine" else "import vmferry.engine.thing\n")
    with (tree / "vmferry" / room.replace(".", "/") / "thing.py").open("a") as out:
        out.write(line + "\n")
    for folder in [path for path in tree.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tree)


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=60)


def test_a_house_in_order_passes(tmp_path: Path) -> None:
    build(tmp_path, "hooks", "import airflow.sdk, vmferry.vault.thing, vmferry.platforms.oci.thing")
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        pytest.param("engine", "import vmferry.vault.thing", id="engine-imports-vault"),
        pytest.param("vault", "import vmferry.hooks.thing", id="vault-imports-hooks"),
        pytest.param("hooks", "import vmferry.operators.thing", id="hooks-import-operators"),
        pytest.param("cli", "import vmferry.hooks.thing", id="cli-imports-hooks"),
        pytest.param("vault", "import airflow.sdk", id="vault-imports-airflow"),
        pytest.param("cli", "import airflow", id="cli-imports-airflow"),
        pytest.param("platforms.ovirt", "import vmferry.platforms.oci.thing", id="platform-imports-platform"),
        pytest.param("console", "import lab.http", id="console-imports-lab"),
    ],
)
def test_an_import_too_many_is_named(tmp_path: Path, room: str, line: str) -> None:
    build(tmp_path, room, line)
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"vmferry.{room}.thing" in done.stdout
