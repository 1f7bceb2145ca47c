# SPDX-License-Identifier: Apache-2.0
"""``vmferry site ls``."""

from __future__ import annotations

from vmferry.cli.access import Access, access_options
from vmferry.cli.output import Output, command, table
from vmferry.cli.site.group import site


@command(site, "ls", example="vmferry site ls\nvmferry site ls --policy /etc/vmferry/variables.json --json")
@access_options
def ls_command(out: Output, access: Access) -> None:
    """List the policy's sites and where each one's log-in is looked for. Asks no site anything."""
    from vmferry.cli.login import find_connection, password_variable, variable_of
    from vmferry.policy.sites import list_sites

    value = []
    for one in list_sites(access.policy()).values():
        found = find_connection(one.connection)
        value.append({
            "name": one.name, "type": one.type, "url": (found and found.host) or one.url,
            "user": (found and found.login) or one.user, "connection_variable": variable_of(one.connection),
            "connection_set": found is not None, "password_variable": password_variable(one.name),
        })  # fmt: skip
    names = ("name", "type", "url", "connection_variable", "connection_set", "password_variable")
    rows = [[_word(one[name]) for name in names] for one in value]
    header = ("SITE", "TYPE", "ADDRESS", "CONNECTION", "SET", "PASSWORD")
    out.result(value, table(header, rows) if rows else "the policy has no site")


def _word(value: object) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
