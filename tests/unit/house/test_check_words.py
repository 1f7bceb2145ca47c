"""The check that keeps addresses, machine paths and keys out of git. The bad words are built from pieces."""

from pathlib import Path

import pytest
from scripts.check_words import MAX_FILE_BYTES, find_faults


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("see https://pypi" + ".org/simple/click\n", "host of a package registry", id="registry"),
        pytest.param(
            "see https://files.python" + "hosted.org/x\n", "host of a package registry", id="registry-of-files"
        ),
        pytest.param("pip install --index" + "-url=X click\n", "names a package registry", id="option"),
        pytest.param("export PIP_INDEX" + "_URL=X\n", "names a package registry", id="variable"),
        pytest.param("open('/wo" + "rk/main/x')\n", "path of one machine", id="path"),
        pytest.param("PATH=/bin:/roo" + "t/.pyenv/bin\n", "path of one machine", id="home-of-root"),
        pytest.param("-----BEGIN" + " RSA PRIVATE KEY-----\n" + "QUJD" * 16 + "\n", "a private key", id="private-key"),
    ],
)
def test_finds(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text("first line\n" + text)
    (fault,) = find_faults(path, "notes.md")
    assert fault.startswith("notes.md:2: ")
    assert what in fault


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("backups live in /var/lib/vmferry and ~/wo" + "rk/vms\n", id="other-paths"),
        pytest.param("--index, --no" + "-index\n", id="options-alike"),
        pytest.param("-----BEGIN" + " PRIVATE KEY----- is where a key starts\n", id="a-word-about-keys"),
    ],
)
def test_allows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text(text)
    assert list(find_faults(path, "notes.md")) == []


def test_a_large_file_is_named_and_a_binary_one_is_only_weighed(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(b"\xff" * (MAX_FILE_BYTES + 1))
    (fault,) = find_faults(path, "disk.qcow2")
    assert "at most 500000" in fault
