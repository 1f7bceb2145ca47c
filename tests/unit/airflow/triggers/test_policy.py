"""The policy is watched: what is there and each change is told once, and only when the editor was done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from vmferry.triggers.policy import PolicyTrigger, digest


async def tell_changes(path: Path, contents: list[str]) -> list[str]:
    """Write one content after the other, each once the one before was told; give the digests that were told."""
    told: list[str] = []
    events: Any = PolicyTrigger(str(path), every_s=0.01).run()
    for content in contents:
        path.write_text(content)
        event = await asyncio.wait_for(anext(events), 60)
        told.append(event.payload["sha256"])
    pending = asyncio.ensure_future(anext(events))
    await asyncio.wait({pending}, timeout=0.2)
    assert not pending.done()  # nothing changed, nothing is told
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    return told


def test_what_is_there_and_each_change_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "variables.json"

    told = asyncio.run(tell_changes(path, ["{}", '{"a": 1}', "{}", '{"b": 2}']))

    assert told[0] == told[2]
    assert len(set(told)) == 3
    assert told[-1] == digest(str(path))


def test_a_file_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "variables.json"

    async def appear() -> str:
        events: Any = PolicyTrigger(str(path), every_s=0.01).run()
        pending = asyncio.ensure_future(anext(events))
        await asyncio.wait({pending}, timeout=0.1)
        assert not pending.done()
        path.write_text("{}")
        return str((await asyncio.wait_for(pending, 60)).payload["sha256"])

    assert asyncio.run(appear()) == digest(str(path))


def test_it_is_made_again_from_what_airflow_stores() -> None:
    name, given = PolicyTrigger("/somewhere", 2.0).serialize()

    assert name == "vmferry.triggers.policy.PolicyTrigger"
    assert PolicyTrigger(**given).serialize() == (name, given)
