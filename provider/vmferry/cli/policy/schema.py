# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy schema``."""

from __future__ import annotations

from vmferry.cli.output import Output, command
from vmferry.cli.policy.group import policy


@command(policy, "schema", example="vmferry policy schema > variables.schema.json")
def schema_command(out: Output) -> None:
    """Print the JSON Schema of a policy, for an editor."""
    from vmferry.policy.schema import build_schema, format_schema

    schema = build_schema()
    out.result(schema, format_schema().rstrip())
