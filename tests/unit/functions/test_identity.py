"""Names of runs."""

from __future__ import annotations

import re

import pytest
from upload_event.identity import run_id

ALLOWED_BY_AIRFLOW = re.compile(r"^[A-Za-z0-9_.~:+-]+$")


@pytest.mark.parametrize(
    "name",
    [
        "web01.qcow2",
        "a/b/web 01.qcow2",
        "$(reboot);'\".raw",
        "line\nbreak.raw",
        "x" * 1000,
        "диск.raw",
        "////",
        "..",
        "",
    ],
    ids=["plain", "folders", "shell", "newline", "long", "cyrillic", "slashes", "dots", "empty"],
)
def test_airflow_takes_each(name: str) -> None:
    found = run_id("ns", "bucket", name, "etag")
    assert ALLOWED_BY_AIRFLOW.match(found)
    assert len(found) < 250


def test_same_upload_same_run() -> None:
    assert run_id("ns", "b", "a.raw", "e1") == run_id("ns", "b", "a.raw", "e1")


def test_everything_counts() -> None:
    first = ("n", "b", "x/a.raw", "e")
    others = [
        ("m", *first[1:]),
        ("n", "c", *first[2:]),
        ("n", "b", "y/a.raw", "e"),
        (*first[:3], "f"),
        ("nb", "", *first[2:]),
    ]
    assert len({run_id(*one) for one in [first, *others]}) == 6
