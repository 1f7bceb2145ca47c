# SPDX-License-Identifier: Apache-2.0
"""Runs the looks over backups, oldest first, and never stops at a broken one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vmferry.engine.errors import Cancelled, EngineError, ToolMissing, Unreadable
from vmferry.engine.progress import Progress
from vmferry.vault.backup import Backup, BackupDisk
from vmferry.vault.catalogue import Entry, Link, Shelf, read_shelf
from vmferry.vault.errors import ChainBroken
from vmferry.vault.layout import Vault
from vmferry.vault.links import Fault, check_file, check_layer, check_standing
from vmferry.vault.lock import reading
from vmferry.vault.records import check_hold, check_record, write_record
from vmferry.vault.verification.content import BadLeaves, check_content, check_seal, recompute_root
from vmferry.vault.verification.files import check_files
from vmferry.vault.verification.modes import DEFAULT_MODES, VerifyMode
from vmferry.vault.verification.report import BackupReport, Finding, Report, Verdict
from vmferry.vault.verification.structure import check_structure

_MOST_FINDINGS = 100
"""Of one disk: enough to see how bad it is."""


@dataclass(slots=True)
class _Look:
    """A verification of one VM's backups, under way."""

    shelf: Shelf
    modes: Sequence[VerifyMode]
    progress: Progress
    cancel: threading.Event
    damaged: set[str] = field(default_factory=set)
    bad_proofs: set[tuple[str, str | None]] = field(default_factory=set)
    """(backup, disk): what stands on them cannot be compared with anything."""
    notes: list[str] = field(default_factory=list)


def verify(
    vault: Vault,
    vm: str | None = None,
    *,
    backup: str | None = None,
    modes: Sequence[VerifyMode] = DEFAULT_MODES,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    on_backup: Callable[[BackupReport], None] = lambda report: None,
) -> Report:
    """Look at all backups, those of one VM, or one and what it stands on. Changes nothing but the record of it.

    QUICK proves that everything is there and linked (a few reads a file), FILES that the files are those that were
    written (reads every file), CONTENT that a guest would see what the source had (reads and unpacks every changed
    block once), STRUCTURE that there is something like a working system inside (a few megabytes a disk).
    """
    progress, cancel = progress or Progress(), cancel or threading.Event()
    found: list[BackupReport] = []
    for vm_dir in vault.vm_dirs(vm):
        with reading(vm_dir, "verifying backups"):
            look = _Look(read_shelf(vm_dir), modes, progress, cancel)
            for report in _verify_shelf(look, backup):
                on_backup(report)
                found.append(report)
    return Report(tuple(modes), tuple(found))


def _verify_shelf(look: _Look, wanted: str | None) -> Iterator[BackupReport]:
    chosen = _chosen(look.shelf, wanted)
    for entry in look.shelf.entries:
        if entry.id in chosen:
            _check_readable(look.shelf.vm, entry)
            report = _verify_entry(look, entry)
            write_record(entry, report.verdict.value, [mode.value for mode in look.modes])
            yield report
    if wanted is None:
        yield from (_verify_entry(look, entry) for entry in look.shelf.misplaced)


def _check_readable(vm: str, entry: Entry) -> None:
    """Raise `Unreadable` when we may not look: that says nothing about the backup, so it is not called damaged."""
    for path in sorted(entry.dir.iterdir()) if os.access(entry.dir, os.R_OK | os.X_OK) else (entry.dir,):
        if not os.access(path, os.R_OK):
            raise Unreadable(
                f"VM {vm!r}, backup {entry.id}: user {os.getuid()} may not read {path}: nothing is known of it",
                fix="run it as the user that the vault belongs to, or correct the mode",
            )


def _chosen(shelf: Shelf, wanted: str | None) -> set[str]:
    if wanted is None:
        return {entry.id for entry in shelf.entries}
    chosen, waiting = set(), [shelf.find(wanted)]
    while waiting:
        entry = waiting.pop()
        chosen.add(entry.id)
        parents = entry.backup.parents if entry.backup else ()
        waiting += [found for parent in parents if (found := shelf.entry(parent)) and found.id not in chosen]
    return chosen


def _verify_entry(look: _Look, entry: Entry) -> BackupReport:
    look.notes = []
    findings = tuple(_findings(look, entry))
    affected_by = look.shelf.dependants(look.damaged).get(entry.id)
    if findings:
        look.damaged.add(entry.id)
        look.bad_proofs |= {(one.backup, one.disk) for one in findings if (one.file or "").endswith(".proof")}
    verdict = Verdict.DAMAGED if findings else Verdict.AFFECTED if affected_by else Verdict.SOUND
    return BackupReport(look.shelf.vm, entry.id, verdict, findings, affected_by, tuple(look.notes))


def _findings(look: _Look, entry: Entry) -> Iterator[Finding]:
    vm = look.shelf.vm
    if entry.backup is None:
        yield Finding(vm, entry.id, VerifyMode.QUICK, str(entry.error), file=f"{entry.id}/point.json")
        return
    for fault in (*check_hold(entry), *check_record(entry), *_quick(look, entry, entry.backup)):
        yield _finding(vm, fault, VerifyMode.QUICK)
    if VerifyMode.FILES in look.modes:
        for fault in check_files(entry, look.progress, look.cancel):
            yield _finding(vm, fault, VerifyMode.FILES)
    for disk in entry.backup.disks:
        yield from _disk_findings(look, entry, entry.backup, disk)


def _quick(look: _Look, entry: Entry, backup: Backup) -> Iterator[Fault]:
    for file in backup.files:
        yield from check_file(entry, file)
    for disk in backup.disks:
        yield from check_layer(Link(entry, disk))
        parent = look.shelf.entry(disk.parent) if disk.parent else None
        below = parent.backup.disk(disk.name) if parent and parent.backup else None
        if parent is not None and below is not None:
            yield from check_standing(Link(entry, disk), Link(parent, below))
        elif disk.parent is not None and not (parent and parent.error):
            yield Fault(
                entry.id, disk.name, disk.image.name, f"its parent {disk.parent} is not there or has no such disk"
            )


def _disk_findings(look: _Look, entry: Entry, backup: Backup, disk: BackupDisk) -> Iterator[Finding]:
    deep = [mode for mode in (VerifyMode.CONTENT, VerifyMode.STRUCTURE) if mode in look.modes]
    if not deep:
        return
    try:
        links = look.shelf.chain(backup, disk)
    except ChainBroken as error:
        look.notes.append(f"disk {disk.name} was not opened: {error.what}")
        return
    for mode in deep:
        for number, finding in enumerate(_deep(look, links, mode)):
            if number == _MOST_FINDINGS:
                look.notes.append(f"disk {disk.name}: there is more, the first {_MOST_FINDINGS} findings are shown")
                break
            yield finding


def _deep(look: _Look, links: tuple[Link, ...], mode: VerifyMode) -> Iterator[Finding]:
    entry, disk = links[-1].entry, links[-1].disk
    try:
        if mode is VerifyMode.STRUCTURE:
            for message in check_structure(links):
                yield Finding(look.shelf.vm, entry.id, mode, message, disk.name)
        else:
            yield from _content(look, links)
    except (Cancelled, ToolMissing):
        raise
    except (EngineError, OSError) as error:
        blame = next((link.entry.id for link in links[:-1] if link.entry.id in look.damaged), None)
        if blame is not None:
            # What it stands on is damaged, so this says nothing about the backup itself.
            look.notes.append(f"disk {disk.name} could not be read because of {blame}: {error}")
        else:
            yield Finding(look.shelf.vm, entry.id, mode, f"it cannot be read: {error}", disk.name, disk.image.name)


def _content(look: _Look, links: tuple[Link, ...]) -> Iterator[Finding]:
    vm, entry, disk = look.shelf.vm, links[-1].entry, links[-1].disk
    below = next((link.entry.id for link in links[:-1] if (link.entry.id, disk.name) in look.bad_proofs), None)
    if below is not None:
        look.notes.append(f"disk {disk.name} cannot be compared: the proof of {below} is damaged")
        return
    try:
        check_seal(links[-1])
        root = recompute_root(links)
    except EngineError as error:
        yield Finding(vm, entry.id, VerifyMode.CONTENT, error.what, disk.name, disk.proof.name)
        return
    if root != disk.root:
        message = f"the proof gives the root {root}, point.json says {disk.root}"
        yield Finding(vm, entry.id, VerifyMode.CONTENT, message, disk.name, disk.proof.name)
    for bad in check_content(links, look.progress, look.cancel):
        yield _leaf_finding(vm, entry.id, disk, bad)


def _leaf_finding(vm: str, backup: str, disk: BackupDisk, bad: BadLeaves) -> Finding:
    message = f"the disk's content {bad.message}"
    return Finding(vm, backup, VerifyMode.CONTENT, message, disk.name, disk.image.name, bad.offset, bad.length)


def _finding(vm: str, fault: Fault, mode: VerifyMode) -> Finding:
    return Finding(vm, fault.backup, mode, fault.message, fault.disk, fault.file)
