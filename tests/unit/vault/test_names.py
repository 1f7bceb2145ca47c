"""No name can leave its directory or meet another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.errors import BadInput
from vmferry.vault.names import build_id, decode_name, encode_name, id_moment, is_id, next_moment

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("web-1.example", "web-1.example"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".quarantine", "%2Equarantine"),
        ("-rf", "%2Drf"),
        ("a%2Fb", "a%252Fb"),
        ("a~2", "a%7E2"),
        ("büro", "b%C3%BCro"),
    ],
)
def test_encodes_what_could_hurt(name: str, encoded: str) -> None:
    assert encode_name(name) == encoded
    assert decode_name(encoded) == name


@given(NAMES, NAMES)
def test_names_stay_apart_and_fit(left: str, right: str) -> None:
    encoded = encode_name(left)
    assert "/" not in encoded
    assert not encoded.startswith((".", "-"))
    assert len(encoded.encode()) <= 160
    assert (encoded == encode_name(right)) == (left == right)


def test_a_long_name_is_cut_between_escapes() -> None:
    encoded = encode_name("ü" * 100)
    stem, _, digest = encoded.partition("~")
    assert len(stem) % 3 == 0
    assert len(digest) == 16


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"], ids=["empty", "nul", "no-text"])
def test_refuses_what_is_no_name(name: str) -> None:
    with pytest.raises(BadInput, match="disk name"):
        encode_name(name, what="disk")


def test_an_id_is_later_than_the_latest_whatever_the_clock_says() -> None:
    now = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    first = next_moment(now, None)
    backup = build_id("web", first, "full")
    assert backup == "web_20260131T235959Z_full"
    assert id_moment(backup) == first
    assert next_moment(now - timedelta(days=9), first) == first + timedelta(seconds=1)


@pytest.mark.parametrize(
    "name", ["web_20260131T235959Z_half", "web_20261331T235959Z_full", "db_20260131T235959Z_full", "web", ".work"]
)
def test_other_directories_are_no_backups(name: str) -> None:
    assert not is_id(name, "web")
