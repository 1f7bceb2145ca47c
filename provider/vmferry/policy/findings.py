# SPDX-License-Identifier: Apache-2.0
"""A finding: one thing that is wrong or doubtful in a policy, where it stands, and what to do about it."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""Where a value stands: the keys and list positions from the top of the file."""

_PLAIN_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*$")


class Severity(enum.Enum):
    """How bad a finding is."""

    ERROR = "error"
    """The policy is refused."""
    WARNING = "warning"
    """The policy works, but perhaps not as meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful."""

    severity: Severity
    place: Place
    message: str
    fix: str
    line: int | None = None
    """The line in the file, counted from 1, where it is known."""

    @property
    def is_error(self) -> bool:
        """Tell whether the policy is refused because of it."""
        return self.severity is Severity.ERROR

    @property
    def path(self) -> str:
        """Give the place as a JSON path: ``$.vms_config["web 1"].schedule``."""
        return format_place(self.place)

    def __str__(self) -> str:
        where = f"{self.path} (line {self.line})" if self.line is not None else self.path
        return f"{self.severity.value}: {where}: {self.message}" + (f"; {self.fix}" if self.fix else "")

    def to_json(self) -> dict[str, str | int | None]:
        """Give it in the form that ``--json`` prints."""
        return {
            "severity": self.severity.value,
            "path": self.path,
            "line": self.line,
            "message": self.message,
            "fix": self.fix,
        }


def format_place(place: Place) -> str:
    """Write a place as a JSON path."""
    path = "$"
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            path += f".{part}"
        else:
            path += f"[{part!a}]"
    return path


def error(place: Place, message: str, fix: str) -> Finding:
    """Make a finding that refuses the policy."""
    return Finding(Severity.ERROR, place, message, fix)


def warning(place: Place, message: str, fix: str) -> Finding:
    """Make a finding that the admin should look at."""
    return Finding(Severity.WARNING, place, message, fix)
