"""What the house promises to somebody who just cloned it."""

import re
import subprocess
from pathlib import Path

import pytest
from scripts.tree import list_files

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_make_prints_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared is not None
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert {line.split()[0] for line in shown.splitlines() if line.startswith("  ")} == set(declared.group(1).split())


def test_every_target_but_help_and_clean_sets_up_first() -> None:
    rules = re.findall(r"^([a-z-]+):(.*?)##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    without = {name for name, needs in rules if not {"setup", "setup-airflow", "setup-function"} & set(needs.split())}
    assert without == {"help", "setup", "setup-airflow", "setup-function", "clean"}


@pytest.mark.parametrize("name", ["dev.txt", "uv.txt", "airflow.txt", "image.txt"])
def test_a_lock_holds_pinned_names_and_nothing_else(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []


def test_the_lock_holds_what_is_asked_for() -> None:
    wanted = re.findall(r"^([a-z][a-z0-9-]*)", (ROOT / "requirements/dev.in").read_text(), re.MULTILINE)
    locked = {line.partition("==")[0] for line in (ROOT / "requirements/dev.txt").read_text().splitlines()}
    assert set(wanted) <= locked


def test_every_apt_package_has_a_reason_and_stands_once() -> None:
    lists = [path.read_text().splitlines() for path in sorted((ROOT / "scripts").glob("packages*.apt"))]
    lines = [line for one in lists for line in one if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9.+-]+ +# \S.*", line)] == []
    names = [line.split()[0] for line in lines]
    assert len(names) == len(set(names))


def test_links_in_the_documents_lead_to_files() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {link}"
        for page in list_files(ROOT, "*.md")
        for link in LINK.findall(page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    records = [path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md")]
    assert records
    assert [name for name in records if f"({name})" not in index] == []
