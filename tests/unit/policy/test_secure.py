"""Passwords leave the file; nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry.policy.errors import InvalidPolicy, PolicyError
from vmferry.policy.load import read_text
from vmferry.policy.secure import as_connections_file, remove_members, secure

ANCESTOR = (Path(__file__).parents[2] / "data" / "policy" / "ancestor.json").read_text()


def test_ancestors_file() -> None:
    made = secure(ANCESTOR)
    gone = set(ANCESTOR.splitlines()) - set(made.text.splitlines())
    assert {one.strip() for one in gone} == {
        '"source_ovirt_password": "your-password",',
        '"target_ovirt_password": "your-password",',
    }
    assert read_text(made.text).findings == ()
    assert [one.conn_id for one in made.connections] == ["vmferry_source", "vmferry_target"]
    assert "your-password" not in repr(made)
    stored = json.loads(as_connections_file(made.connections))["vmferry_source"]
    assert stored["password"] == "your-password"
    assert (stored["conn_type"], stored["login"]) == ("vmferry_ovirt", "admin@internal")
    assert json.loads(stored["extra"]) == {"ca_file": "/opt/airflow/certs/PRD/ca.pem"}
    assert secure(made.text).text == made.text


def test_sites_passwords() -> None:
    site = '{"type": "vsphere", "url": "https://vc/sdk", "user": "u", "password": "a\\"b" }'
    made = secure(f'{{"sites": {{"vc": {site}}},\r\n "vms_config": {{"x": {{}}}} }}')
    assert (
        made.text
        == '{"sites": {"vc": {"type": "vsphere", "url": "https://vc/sdk", "user": "u" }},\r\n "vms_config": {"x": {}} }'
    )
    assert made.connections[0].password == 'a"b'


def test_a_policy_with_errors_is_left_alone() -> None:
    with pytest.raises(InvalidPolicy):
        secure('{"unknown": 1}')


def test_a_password_that_stands_elsewhere_too_is_told() -> None:
    text = ANCESTOR.replace("{", '{"// note": "it is your-password",', 1)
    with pytest.raises(PolicyError, match="in another place too"):
        secure(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=6),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
def test_cut_members_take_nothing_else_along(
    raw: dict[str, Any], indent: int | None, end: str, data: st.DataObject
) -> None:
    gone = data.draw(st.lists(st.sampled_from(sorted(raw)), unique=True))
    text = json.dumps(raw, indent=indent).replace("\n", end)
    left = remove_members(text, [(key,) for key in gone])
    assert json.loads(left) == {key: value for key, value in raw.items() if key not in gone}
