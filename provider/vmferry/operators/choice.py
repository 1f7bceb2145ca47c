# SPDX-License-Identifier: Apache-2.0
"""What a person said in a form: yes, no, or nothing, which leaves it to the policy."""

from __future__ import annotations

from typing import Any

YES = "yes"
NO = "no"
_MEANING = {YES: True, NO: False}


def read_choice(said: Any) -> Any:
    """Give True for yes, False for no, None for nothing, and anything else as it is."""
    if said == "":
        return None
    return _MEANING.get(said, said) if isinstance(said, str) else said
