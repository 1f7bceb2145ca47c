# SPDX-License-Identifier: Apache-2.0
"""``vmferry site sweep``."""

from __future__ import annotations

import sys

from vmferry.cli.access import Access, access_options
from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.cli.site.group import dead_option, judge, site

_MORE = """Dead are: what this user began on this machine and whose process is gone; and, by your word, the runs that
--dead names. Look first: `vmferry site leftovers` lists the runs. Proven bytes stay whatever is said, and so does all
that is not ours."""


@command(
    site,
    "sweep",
    more=_MORE,
    example="vmferry site sweep --site target\nvmferry site sweep --dead 'backup_web01/*' --dead 'restore_vm/*'",
)
@dead_option
@access_options
def sweep_command(out: Output, access: Access, patterns: tuple[str, ...]) -> None:
    """Give back what dead runs left at a site, and drop their unfinished backups. Exit 1 when something stayed."""
    from vmferry.operations import sweep
    from vmferry.policy.sites import default_site

    policy = access.policy()
    chosen = access.choose(policy, default_site(policy))
    with access.open(chosen) as opened:
        done = sweep(opened, judge(patterns), vault=access.vault(policy))
    if not done["failed"]:
        _forget_dead(chosen.name)
    lines = [f"{what}: {label}" for what, labels in done.items() for label in labels]
    out.result(done, lines or f"nothing is left over at {chosen.name}")
    if done["failed"]:
        sys.exit(Exit.FAILED)
    if done["kept"]:
        sys.exit(Exit.VERDICT)


def _forget_dead(site: str) -> None:
    """Forget the dead runs: their journals are of things that are gone. The same commands then begin anew."""
    from vmferry.cli.record import list_records

    for record in list_records():
        if record.site == site and not record.is_running:
            record.forget()
