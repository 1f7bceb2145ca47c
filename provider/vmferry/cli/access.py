# SPDX-License-Identifier: Apache-2.0
"""The sites, the policy and the vault as the commands about whole VMs find them: options first, then variables.json."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vmferry.engine.errors import BadInput

if TYPE_CHECKING:
    from vmferry.cli.login import Connection
    from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
    from vmferry.policy.models.policy import Policy
    from vmferry.policy.sites import Site
    from vmferry.policy.vm import VmPolicy
    from vmferry.vault import Vault

F = TypeVar("F", bound=Callable[..., Any])
_log = logging.getLogger(__name__)
_NAMES = ("policy_path", "vault_path", "site", "url", "user", "password_file", "ca_file", "ca_fingerprint")


@dataclass(frozen=True, slots=True)
class Access:
    """What a person said about where things are."""

    policy_path: Path
    vault_path: Path | None
    site: str | None
    url: str | None
    user: str | None
    password_file: Path | None
    ca_file: Path | None
    ca_fingerprint: str | None

    def policy(self) -> Policy:
        """Read the policy. Without the file an address on the command line is enough, and all else is as built in."""
        from vmferry.policy.load import load
        from vmferry.policy.models.policy import Policy

        if self.policy_path.exists() or not self.url:
            if not self.policy_path.exists():
                raise BadInput(
                    f"there is no policy {self.policy_path}",
                    fix="name it with --policy, or do without: --url, --user, --vault and --ca-fingerprint",
                )
            return load(self.policy_path)
        return Policy.model_validate({"sites": {self.site or "site": {"type": "ovirt"}}})

    def vault(self, policy: Policy) -> Vault:
        """Give the vault: where the policy says, or where it is now."""
        from vmferry.vault import open_vault

        return open_vault(self.vault_path or policy.backup_directory)

    def choose(self, policy: Policy, default: str | None) -> Site:
        """Give the site that was named, or the one meant when none was."""
        from vmferry.policy.sites import list_sites

        sites = list_sites(policy)
        name = self.site or default or (next(iter(sites)) if len(sites) == 1 else "")
        if name not in sites:
            said = f"there is no site {name!r}" if name else "the policy does not say which site is meant"
            raise BadInput(said, fix=f"--site with one of {', '.join(sorted(sites)) or 'none: the policy has no site'}")
        return sites[name]

    @contextmanager
    def open(self, site: Site) -> Iterator[OvirtSite]:
        """Log in; an engine that is away, another authority or a wrong password is told at once."""
        from vmferry.platforms.ovirt import OvirtSite
        from vmferry.platforms.ovirt.trust import check_engine, find_ca_file

        settings = self.settings(site)
        # Once at work, an engine that restarts is waited for; a person who types a command is not let wait for it.
        check_engine(settings, find_ca_file(settings))
        with OvirtSite(settings) as opened:
            yield opened

    def settings(self, site: Site) -> OvirtSettings:
        """Put the settings together; raises `BadInput` that says what to set."""
        from vmferry.cli.login import find_connection, find_password
        from vmferry.platforms.ovirt import OvirtSettings

        if site.type != "ovirt":
            raise BadInput(f"site {site.name}: there is no driver for {site.type!r} yet", fix="use an oVirt site")
        found = find_connection(site.connection)
        if found is not None and found.type != f"vmferry_{site.type}":
            fix = f"set its conn_type to vmferry_{site.type}"
            raise BadInput(f"connection {site.connection} is of type {found.type!r}", fix=fix)
        url = self.url or (found and found.host) or site.url
        user = self.user or (found and found.login) or site.user
        if not url or not user:
            raise BadInput(f"site {site.name}: nothing says its {'user' if url else 'address'}", fix=_how_to_say(site))
        if site.password and not (found and found.password):
            _log.warning("site %s: its password is in %s; `vmferry policy secure` moves it out",
                         site.name, self.policy_path)  # fmt: skip
        known = (found and found.password) or site.password or ""
        return OvirtSettings(
            site=site.name,
            url=url,
            user=user,
            password=find_password(site.name, user, known, self.password_file),
            **self._trust(site, found),
        )

    def _trust(self, site: Site, found: Connection | None) -> dict[str, Any]:
        """Say whom to believe: what was typed, else the connection, else the policy; as the DAGs do."""
        said = found.extra if found else {}
        more = {name: said[name] for name in ("imageio_ca_file",) if name in said}
        if self.ca_file or self.ca_fingerprint:
            ca_file = str(self.ca_file.absolute()) if self.ca_file else None
            return {**more, "ca_file": ca_file, "ca_fingerprint": self.ca_fingerprint}
        names = ("ca_file", "ca_fingerprint")
        if any(name in said for name in names):
            return {**more, **{name: said.get(name) for name in names}}
        return {**more, "ca_file": site.cert_path, "ca_fingerprint": site.ca_fingerprint}


def find_vm_policy(policy: Policy, vm: str, site: str | None) -> VmPolicy:
    """Say what holds for a VM, also for one that the policy does not have."""
    from vmferry.policy.resolve import settle_named

    return settle_named(policy, vm, site)


def access_options(function: F) -> F:
    """Add what all commands about sites take; the function gets one `access`."""

    @functools.wraps(function)
    def gather(*args: Any, **given: Any) -> Any:
        access = Access(**{name: given.pop(name) for name in _NAMES})
        return function(*args, access=access, **given)

    made: Any = gather
    for option in reversed(_OPTIONS):
        made = option(made)
    return made  # type: ignore[no-any-return]


_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--site", help="Site of the policy; by default the one the policy means."),
    click.option(
        "--policy", "policy_path", metavar="FILE", type=_PATH, envvar="VMFERRY_POLICY", default="variables.json",
        show_default=True, help="The policy (or VMFERRY_POLICY).",
    ),
    click.option(
        "--vault", "vault_path", metavar="DIR", type=_PATH, envvar="VMFERRY_VAULT",
        help="Where the backups are now (or VMFERRY_VAULT); by default as the policy says.",
    ),
    click.option("--url", help="Address of the engine, when neither connection nor policy has it."),
    click.option("--user", help="User with its profile, as admin@internal; likewise."),
    click.option(
        "--password-file", metavar="FILE", type=_PATH, help="Its first line is the password; - is standard input."
    ),
    click.option("--ca-file", metavar="FILE", type=_PATH, help="Certificate of the engine's authority."),
    click.option(
        "--ca-fingerprint", metavar="SHA256", help="SHA-256 of that certificate; it is then fetched from the engine."
    ),
)  # fmt: skip


def _how_to_say(site: Site) -> str:
    from vmferry.cli.login import variable_of

    example = (
        f'{{"conn_type": "vmferry_{site.type}", "host": "https://ENGINE/ovirt-engine/api", "login": "admin@internal",'
        ' "password": "…", "extra": {"ca_fingerprint": "…"}}'
    )
    return (
        f"set {variable_of(site.connection)}='{example}', as Airflow's connection {site.connection!r} has it;"
        " or give --url and --user"
    )
