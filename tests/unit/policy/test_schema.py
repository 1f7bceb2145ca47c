"""The published JSON Schema is the one that the models give."""

from __future__ import annotations

from pathlib import Path

from vmferry.policy.schema import build_schema, format_schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "schema" / "variables.schema.json"


def test_published_schema_is_current() -> None:
    assert PUBLISHED.read_text() == format_schema(), "run: python3 -m vmferry.policy.schema > docs/schema/…"


def test_schema_knows_the_ancestors_keys_and_refuses_unknown_ones() -> None:
    schema = build_schema()
    assert {"source_ovirt_url", "checkpoints_file", "vms_config", "$schema"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["patternProperties"] == {"^//": True}
