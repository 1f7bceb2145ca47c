"""What every DAG file imports must not bring pydantic or Jinja along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_dag_files_side_imports_neither_pydantic_nor_jinja() -> None:
    code = (
        "import sys; from vmferry.policy import vm, schedules, fulls, plan, patterns, names, errors\n"
        "print([one for one in ('pydantic', 'jinja2', 'airflow') if one in sys.modules])"
    )
    root = Path(__file__).parents[3] / "provider"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
