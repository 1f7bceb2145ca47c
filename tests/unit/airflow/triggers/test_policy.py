"""The policy is watched: a change is told once, and only when the editor was done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from vmferry.triggers.policy import PolicyTrigger, digest


async def tell_changes(path: Path, contents: list[str]) -> list[str]:
    """Write one content after the other, each once the one before was told; give the digests that were told."""
    told: list[str] = []
    trigger = PolicyTrigger(str(path), every_s=0.01)
    events: Any = trigger.run()
    pending = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)  # it has looked for the first time
    for content in contents:
        path.write_text(content)
        event = await asyncio.wait_for(pending, 60)
        told.append(event.payload["sha256"])
        pending = asyncio.ensure_future(anext(events))
    await asyncio.wait({pending}, timeout=0.2)
    assert not pending.done()  # nothing changed, nothing is told
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    return told


def test_each_change_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "variables.json"
    path.write_text("{}")

    told = asyncio.run(tell_changes(path, ['{"a": 1}', "{}", '{"b": 2}']))

    assert len(set(told)) == 3
    assert told[-1] == digest(str(path))


def test_a_file_that_appears_is_a_change(tmp_path: Path) -> None:
    assert asyncio.run(tell_changes(tmp_path / "variables.json", ["{}"])) != [""]


def test_it_is_made_again_from_what_airflow_stores() -> None:
    name, given = PolicyTrigger("/somewhere", 2.0).serialize()

    assert name == "vmferry.triggers.policy.PolicyTrigger"
    assert PolicyTrigger(**given).serialize() == (name, given)
