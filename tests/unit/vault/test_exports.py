"""What the room offers is what it says it offers, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import vmferry.vault


def test_every_public_name_is_there_and_none_is_a_module() -> None:
    for name in vmferry.vault.__all__:
        assert not isinstance(getattr(vmferry.vault, name), ModuleType), name


def test_a_list_of_backups_does_not_load_the_pump() -> None:
    script = "import sys; from vmferry.vault import list_backups; print('vmferry.engine.pump' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "False\n"
