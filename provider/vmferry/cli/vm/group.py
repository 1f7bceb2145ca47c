# SPDX-License-Identifier: Apache-2.0
"""The group itself, and what its commands share."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, TypeVar

import click

from vmferry.cli.lazy import LazyGroup
from vmferry.engine.errors import Cancelled, JobBusy
from vmferry.platforms.errors import VmBusy

if TYPE_CHECKING:
    from vmferry.cli.output import Output
    from vmferry.cli.record import Record
    from vmferry.engine.throttle import Throttle

_Answer = TypeVar("_Answer")
_LOOK_S = 5.0


@click.group(
    cls=LazyGroup,
    modules={name: f"vmferry.cli.vm.{name}" for name in ("ls", "show", "backup", "restore", "drill")},
)
def vm() -> None:
    """Back up and restore whole VMs of a site. Needs no Airflow: only the policy, the vault and the site."""


vm_argument = click.argument("name", metavar="VM")
rate_option = click.option("--rate", help="Bytes a second for all disks together, as 50MiB.")
wait_option = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=0, metavar="SECONDS",
    help="While somebody else is at the VM, wait so long; by default exit 5 at once.",
)  # fmt: skip


def patiently(out: Output, wait_s: float, cancel: Event, work: Callable[[], _Answer]) -> _Answer:
    """Do the work; while somebody else is at it, try again for so long."""
    deadline, told = time.monotonic() + wait_s, False
    while True:
        try:
            return work()
        except (JobBusy, VmBusy) as busy:
            if time.monotonic() >= deadline:
                raise
            if not told:
                out.note(f"waiting: {busy.what}")
                told = True
        if cancel.wait(min(_LOOK_S, max(0.05, deadline - time.monotonic()))):
            raise Cancelled("stopped while waiting; nothing was changed")


def make_throttle(rate: str | None) -> Throttle | None:
    """Give the rate that was typed."""
    from vmferry.engine.throttle import Throttle
    from vmferry.engine.units import parse_rate

    return Throttle(parse_rate(rate, field="--rate")) if rate else None


def tell_begin(out: Output, record: Record, *, goes_on: bool) -> None:
    """Say that it goes on with what was begun before."""
    if goes_on:
        out.note(f"going on with run {record.run}, which did not end")
