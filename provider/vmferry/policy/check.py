# SPDX-License-Identifier: Apache-2.0
"""What only shows when the whole policy is looked at. Each check is a function: policy and ground in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmferry.policy.checks.sites import check_limits, check_restore_settings, check_sites
from vmferry.policy.checks.transfers import check_bucket_migrations, check_imports, check_migrations
from vmferry.policy.checks.vms import check_identities, check_patterns, check_vms
from vmferry.policy.settle import lay_ground

if TYPE_CHECKING:
    from vmferry.policy.findings import Finding
    from vmferry.policy.models.policy import Policy

_CHECKS = (
    check_sites,
    check_limits,
    check_restore_settings,
    check_identities,
    check_patterns,
    check_vms,
    check_migrations,
    check_imports,
    check_bucket_migrations,
)


def check(policy: Policy) -> list[Finding]:
    """Look at the whole policy."""
    ground = lay_ground(policy)
    return [found for one in _CHECKS for found in one(ground)]
