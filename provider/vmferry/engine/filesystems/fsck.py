# SPDX-License-Identifier: Apache-2.0
"""Check every file system on a disk, each by its own checker on its own partition or logical volume.

Never a checker over a whole partitioned disk, never `clean` for what nobody read: without a checker, behind a key, on
several disks, the verdict is `unknown`, and it says why.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Union

from vmferry.engine.endpoints.blockdevice import describe_user, read_sector_bytes
from vmferry.engine.endpoints.filelock import lock_for_writing
from vmferry.engine.errors import BadInput, TargetInUse, Unreadable
from vmferry.engine.filesystems.checkers import CHECKERS, Checker, judge
from vmferry.engine.filesystems.detect import UNKNOWN
from vmferry.engine.filesystems.exposure import Disk, expose
from vmferry.engine.filesystems.looks import look, weigh
from vmferry.engine.filesystems.partitions import read_table
from vmferry.engine.filesystems.programs import Run, find_program, run_program
from vmferry.engine.filesystems.scratch import scratch_raw
from vmferry.engine.filesystems.settle import check_settled, is_unsettled
from vmferry.engine.filesystems.verdict import DiskVerdict, Verdict, VolumeVerdict
from vmferry.engine.filesystems.volumes import WITHOUT_FILE_SYSTEM, RunsReader, Volume, list_volumes
from vmferry.engine.images.inspect import inspect
from vmferry.engine.images.reader import FileReader

_NOTHING_TO_CHECK = {"swap": "swap space holds no file system", "iso9660": "an ISO 9660 file system is never written"}
_REPAIR_IT = "repair it with --policy repair, or restore it"
_CLOSED = {
    "luks": "it is encrypted (LUKS) and there is no key",
    "bitlocker": "it is encrypted (BitLocker) and there is no key",
    "linux_raid_member": "it is part of a RAID; check it where the RAID is assembled",
    "ext_journal": "it is the journal of another file system",
    "zfs": "it belongs to a ZFS pool; run zpool scrub where the pool is imported",
}


class Policy(enum.Enum):
    """What may be done to the disk."""

    CHECK = "check"
    """Read only."""
    REPAIR = "repair"
    """Mend what the checkers can mend by themselves."""
    SKIP = "skip"
    """List what is there, run nothing."""


def check_disk(
    path: Union[str, Path],
    policy: Union[Policy, str] = Policy.CHECK,
    *,
    format: str | None = None,
    work_dir: Path | None = None,
    timeout_s: float = 6 * 3600.0,
    report: Callable[[VolumeVerdict], None] = lambda _: None,
) -> DiskVerdict:
    """Check (or repair) a block device or an image.

    An image that is not raw is turned into a temporary raw copy in `work_dir` first, which takes as much room as it
    has data; it can be checked but not repaired. `timeout_s` bounds each checker. `report` hears of each verdict as
    soon as it is known.
    """
    wanted = _policy(policy)
    with _open_disk(Path(path), wanted, format, work_dir) as (disk, notes):
        table = read_table(disk.reader, disk.sector_bytes if _is_device(path) else None)
        items = []
        for volume in list_volumes(disk.reader, table):
            items.append(_check_volume(disk, volume, wanted, timeout_s))
            report(items[-1])
        return DiskVerdict(table, tuple(items), notes)


def _policy(policy: Union[Policy, str]) -> Policy:
    try:
        return Policy(policy)
    except ValueError:
        raise BadInput(f"{policy!r} is no policy for file systems", fix="use check, repair or skip") from None


def _is_device(path: Union[str, Path]) -> bool:
    return Path(path).is_block_device()


@contextmanager
def _open_disk(
    path: Path, policy: Policy, claimed: str | None, work_dir: Path | None
) -> Iterator[tuple[Disk, tuple[str, ...]]]:
    if _is_device(path) and claimed in (None, "raw"):
        with _open_device(path, policy) as fd, FileReader(path) as reader:
            yield Disk(reader, fd, read_sector_bytes(fd), work_dir, policy is Policy.REPAIR), ()
        return
    facts = inspect(path, claimed_format=claimed)
    if facts.compression:
        raise BadInput(f"{path}: is compressed", fix="decompress it, then check it")
    with FileReader(path) as image:
        if facts.format == "raw":
            with _open_file(path, policy) as fd:
                yield Disk(image, fd, 512, work_dir, policy is Policy.REPAIR), facts.notes
            return
        if policy is Policy.REPAIR:
            raise BadInput(f"{path}: only raw images and devices can be repaired", fix="convert it to raw, repair that")
        with scratch_raw(image.fileno(), facts, work_dir) as fd, FileReader(f"/proc/self/fd/{fd}", str(path)) as raw:
            yield Disk(raw, fd, 512, work_dir), (*facts.notes, f"{facts.format} was checked as a temporary raw copy")


@contextmanager
def _open_device(path: Path, policy: Policy) -> Iterator[int]:
    """Open so that nobody can mount it meanwhile: O_EXCL on a device means no other holder."""
    flags = (os.O_RDWR if policy is Policy.REPAIR else os.O_RDONLY) | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            user = describe_user(path.stat().st_rdev)
            raise TargetInUse(f"{path} is {user}", fix="unmount it, or check a snapshot of it") from None
        raise Unreadable(f"{path}: cannot be opened: {error.strerror}", fix="run this as root") from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _open_file(path: Path, policy: Policy) -> Iterator[int]:
    try:
        fd = os.open(path, (os.O_RDWR if policy is Policy.REPAIR else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"{path}: cannot be opened: {error.strerror}", fix="check its permissions") from error
    try:
        if policy is Policy.REPAIR:
            lock_for_writing(fd, str(path))
        yield fd
        if policy is Policy.REPAIR:
            os.fsync(fd)
    finally:
        os.close(fd)


def _check_volume(disk: Disk, volume: Volume, policy: Policy, timeout_s: float) -> VolumeVerdict:
    """Give one volume its verdict."""
    early = _judge_unread(volume, policy)
    if early is not None:
        return early
    checker = CHECKERS[volume.type]
    if find_program(checker.check[0]) is None:
        meaning = f"the program {checker.check[0]} is not installed"
        fix = f"install the package {checker.package}"
        return VolumeVerdict(volume.where, volume.type, Verdict.UNKNOWN, meaning, checker.check[0], fix=fix)
    if volume.damage:
        first = VolumeVerdict(volume.where, volume.type, Verdict.DAMAGED, volume.damage, fix=_REPAIR_IT)
    else:
        first = _check_once(disk, volume, checker, timeout_s)
    if policy is Policy.REPAIR and first.verdict is Verdict.DAMAGED:
        return _repair(disk, volume, checker, first, timeout_s)
    return first


def _judge_unread(volume: Volume, policy: Policy) -> VolumeVerdict | None:
    """Judge what no checker is for."""

    def say(verdict: Verdict, meaning: str) -> VolumeVerdict:
        return VolumeVerdict(volume.where, volume.type, verdict, meaning)

    if volume.damage and volume.type not in CHECKERS:
        return say(Verdict.DAMAGED, volume.damage)
    if policy is Policy.SKIP:
        return say(Verdict.SKIPPED, "no check was asked for")
    if volume.reason:
        return say(Verdict.UNKNOWN, volume.reason)
    if volume.type in _NOTHING_TO_CHECK:
        return say(Verdict.SKIPPED, _NOTHING_TO_CHECK[volume.type])
    if volume.type == UNKNOWN and volume.type_id in WITHOUT_FILE_SYSTEM:
        return say(Verdict.SKIPPED, WITHOUT_FILE_SYSTEM[volume.type_id])
    if volume.type not in CHECKERS:
        meaning = "no file system was found" if volume.type == UNKNOWN else f"we have no checker for {volume.type}"
        return say(Verdict.UNKNOWN, _CLOSED.get(volume.type, meaning))
    return None


def _check_once(disk: Disk, volume: Volume, checker: Checker, timeout_s: float) -> VolumeVerdict:
    with expose(disk, volume) as exposed:
        as_file = ("-f",) if exposed.is_copy and volume.type == "xfs" else ()
        run = run_program((*checker.check, *as_file), exposed.path, timeout_s=timeout_s, keep_fds=exposed.keep_fds)
    verdict, meaning = judge(checker, run)
    if verdict is Verdict.DAMAGED and is_unsettled(disk, volume):
        verdict, meaning, run = check_settled(disk, volume, timeout_s)
    verdict, meaning = weigh(look(volume.type, RunsReader(disk.reader, volume)), verdict, meaning)
    return _say(volume, verdict, meaning, run)


def _repair(disk: Disk, volume: Volume, checker: Checker, first: VolumeVerdict, timeout_s: float) -> VolumeVerdict:
    """Run the repairs, gentlest first, until the check finds nothing more."""
    if not checker.repair:
        return replace(first, fix=checker.no_repair)
    if len(volume.runs) != 1:
        return replace(first, fix="it lies in several pieces: repair it where LVM can be activated")
    sound = replace(volume, damage="")
    last = first
    for command in checker.repair:
        with expose(disk, volume, writable=True) as exposed:
            run = run_program(command, exposed.path, timeout_s=timeout_s)
        last = _check_once(disk, sound, checker, timeout_s)
        if last.verdict is Verdict.CLEAN:
            meaning = f"was damaged ({first.meaning}); {run.command} mended it and a second check found no errors"
            return replace(_say(volume, Verdict.REPAIRED, meaning, run), output_tail=run.tail)
    return replace(
        last, verdict=Verdict.DAMAGED, fix=checker.no_repair or "restore it from a backup, or mend it by hand"
    )


def _say(volume: Volume, verdict: Verdict, meaning: str, run: Run) -> VolumeVerdict:
    fix = _REPAIR_IT if verdict is Verdict.DAMAGED else ""
    if verdict is Verdict.UNKNOWN and volume.type == "xfs":
        fix = "mount and unmount it once, then check again"
    return VolumeVerdict(volume.where, volume.type, verdict, meaning, run.command, run.exit_code, run.tail, fix)
