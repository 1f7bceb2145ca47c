# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a policy.

::

    engine.errors.BadInput
    └── PolicyError              nothing was changed
        ├── InvalidPolicy            the file breaks rules; holds every finding, not only the first
        ├── BadValue                 one value that cannot be understood (also a ValueError)
        ├── UnknownVm                a VM that no entry or pattern covers
        ├── BrokenTemplate           a DAG template that does not give valid, safe Python
        └── ForeignFile              a file we did not make stands where ours should go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmferry.engine.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmferry.policy.findings import Finding


class PolicyError(BadInput):
    """Base of this room's errors."""


class InvalidPolicy(PolicyError):
    """The policy breaks rules. `findings` has all of them, warnings too."""

    def __init__(self, findings: Sequence[Finding], *, source: str = "the policy") -> None:
        self.findings = tuple(findings)
        self.source = source
        errors = [one for one in self.findings if one.is_error]
        what = f"{source} has {len(errors)} error{'s' if len(errors) != 1 else ''}"
        super().__init__("\n".join([what, *(f"  {one}" for one in errors)]))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_invalid, (self.findings, self.source))


def _rebuild_invalid(findings: Sequence[Finding], source: str) -> InvalidPolicy:
    return InvalidPolicy(findings, source=source)


class BadValue(PolicyError, ValueError):
    """A value that cannot be understood. The message names the value, `fix` how to write it."""


class UnknownVm(PolicyError):
    """No entry and no pattern of the policy covers this VM."""


class BrokenTemplate(PolicyError):
    """A DAG template that cannot be rendered into valid Python, or that puts a value in unquoted."""


class ForeignFile(PolicyError):
    """A file that we did not write stands where a rendered one should go."""
