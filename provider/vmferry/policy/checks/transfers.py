# SPDX-License-Identifier: Apache-2.0
"""Checks of migrations, imports and bucket migrations."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from vmferry.policy import patterns
from vmferry.policy.checks.sites import check_site
from vmferry.policy.findings import Finding, Place, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmferry.policy.models.migrations import VmFilter
    from vmferry.policy.models.transfers import ImportRule
    from vmferry.policy.settle import Ground


def check_migrations(ground: Ground) -> Iterator[Finding]:
    """Sites exist, and no VM is in two waves."""
    for name, migration in ground.policy.migrations.items():
        place: Place = ("migrations", name)
        yield from check_site(ground, migration.source, (*place, "source"))
        yield from check_site(ground, migration.target, (*place, "target"))
        if migration.source == migration.target:
            yield error((*place, "target"), "source and target are the same site", "name two sites")
    yield from _check_claims(ground)


def _check_claims(ground: Ground) -> Iterator[Finding]:
    claims = [
        (migration.source, wave.vms, ("migrations", name, "waves", number, "vms"), wave.name)
        for name, migration in ground.policy.migrations.items()
        if migration.enabled
        for number, wave in enumerate(migration.waves)
    ]
    for (site, first, _, first_name), (other_site, second, place, _) in combinations(claims, 2):
        if site == other_site:
            yield from _compare_filters(first, second, first_name, place)


def _compare_filters(first: VmFilter, second: VmFilter, first_name: str, place: Place) -> Iterator[Finding]:
    for name in second.names:
        takers = [one for one in first.names if patterns.overlap(one, name) and not _takes(second.exclude, one)]
        if not takers or _takes(first.exclude, name) or _takes(second.exclude, name):
            continue
        if not patterns.is_pattern(name):
            message = f"the VM {name!r} is in the wave {first_name!r} too"
            yield error((*place, "names"), message, "a VM can go once: exclude it from one of the waves")
        else:
            message = f"{name!r} can take VMs of the wave {first_name!r} ({takers[0]!r})"
            yield warning((*place, "names"), message, "exclude them here; otherwise the run refuses to start")


def _takes(excluded: Sequence[str], name: str) -> bool:
    return any(patterns.matches(one, name) for one in excluded)


def check_imports(ground: Ground) -> Iterator[Finding]:
    """Sites are of OCI, and each object has one rule."""
    seen: list[tuple[str, ImportRule]] = []
    for name, rule in ground.policy.imports.items():
        place: Place = ("imports", name)
        yield from check_site(ground, rule.site, (*place, "site"), types=frozenset({"oci"}))
        for earlier, other in seen:
            nested = rule.prefix.startswith(other.prefix) or other.prefix.startswith(rule.prefix)
            if (rule.site, rule.bucket, rule.namespace) == (other.site, other.bucket, other.namespace) and nested:
                message = f"an object of the bucket {rule.bucket!r} could be taken by {earlier!r} too"
                yield error((*place, "prefix"), message, "use prefixes of which none begins with the other")
        seen.append((name, rule))


def check_bucket_migrations(ground: Ground) -> Iterator[Finding]:
    """No two migrations write to one place."""
    seen: dict[tuple[str, str, str], str] = {}
    for name, one in ground.policy.bucket_migrations.items():
        target = (one.target.connection, one.target.bucket, one.target.prefix)
        if seen.setdefault(target, name) != name:
            fix = "give each its own prefix"
            yield warning(("bucket_migrations", name, "target"), f"{seen[target]!r} writes there too", fix)
