# SPDX-License-Identifier: Apache-2.0
"""``vmferry site leftovers``."""

from __future__ import annotations

from typing import Any

from vmferry.cli.access import Access, access_options
from vmferry.cli.output import Output, command, table
from vmferry.cli.site.group import dead_option, judge, site


@command(
    site,
    "leftovers",
    example="vmferry site leftovers --site target\nvmferry site leftovers --dead 'backup_web01/*' --json",
)
@dead_option
@access_options
def leftovers_command(out: Output, access: Access, patterns: tuple[str, ...]) -> None:
    """List what runs of vmferry have open at a site, whose it is, and what a sweep would do. Changes nothing."""
    from vmferry.cli.record import list_records
    from vmferry.operations import list_leftovers
    from vmferry.policy.sites import default_site

    policy = access.policy()
    chosen = access.choose(policy, default_site(policy))
    with access.open(chosen) as opened:
        found = list_leftovers(opened, judge(patterns))
    rows = [(one["kind"], one["name"] or one["id"], one["owner"], _fate(one)) for one in found]
    lines = (
        table(("WHAT", "NAME", "RUN", "A SWEEP WOULD"), rows) if rows else [f"nothing is left over at {chosen.name}"]
    )
    unfinished = [one for one in list_records() if one.site == chosen.name and not one.is_running]
    lines += [f"{one.run} goes on with: {one.command}" for one in unfinished]
    out.result([{**one, "goes_on_with": _command(one, unfinished)} for one in found], lines)


def _fate(one: dict[str, Any]) -> str:
    if one["holds_verified_bytes"]:
        return "keep it: proven bytes"
    return "give it back" if one["released"] else "keep it: nobody says its run is dead"


def _command(one: dict[str, Any], records: list[Any]) -> str | None:
    from vmferry.platforms.runs import RunId, is_tag_of

    tag = RunId(one["owner"]).tag()
    return next((record.command for record in records if is_tag_of(tag, record.run)), None)
