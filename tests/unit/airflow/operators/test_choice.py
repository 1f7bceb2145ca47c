from __future__ import annotations

from typing import Any

import pytest

from vmferry.operators.choice import read_choice


@pytest.mark.parametrize(
    ("said", "meant"),
    [("yes", True), ("no", False), (None, None), ("", None), ("Default", "Default"), (True, True), (False, False)],
)
def test_what_a_form_says_is_understood(said: Any, meant: Any) -> None:
    found = read_choice(said)

    assert (type(found), found) == (type(meant), meant)
