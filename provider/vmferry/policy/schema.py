# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of ``variables.json``, for editors. ``python3 -m vmferry.policy.schema`` prints it."""

from __future__ import annotations

import json
from typing import Any

from vmferry.policy.models.policy import Policy

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_schema() -> dict[str, Any]:
    """Build the schema from the models."""
    schema = Policy.model_json_schema(by_alias=True)
    return {"$schema": _DIALECT, **_allow_comments(schema), "title": "vmferry policy"}


def format_schema() -> str:
    """Give the schema as the text that docs/schema/variables.schema.json holds."""
    return json.dumps(build_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _allow_comments(node: Any) -> Any:
    """Members whose key begins with // are comments, in every object."""
    if isinstance(node, list):
        return [_allow_comments(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: _allow_comments(one) for key, one in node.items()}
    if made.get("additionalProperties") is False:
        made["patternProperties"] = {"^//": True}
    return made


if __name__ == "__main__":
    print(format_schema(), end="")
