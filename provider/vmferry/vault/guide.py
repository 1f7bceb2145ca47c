# SPDX-License-Identifier: Apache-2.0
"""RESTORE.md and SHA256SUMS: a backup can be restored and checked without vmferry.

Nothing here names other backups: what a disk stands on may be folded later, and the page must stay right.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from vmferry.vault.backup import BackupDisk, StoredFile
from vmferry.vault.openpoint import OpenPoint

_PAGE = """# Restore {id}

VM: {vm}
Frozen: {started}
Disks: {count}

You need `qemu-img` (Debian and Ubuntu: package qemu-utils; RHEL and Oracle Linux: qemu-img), the whole directory of
this VM, and a shell. An incremental backup reads from the backups it stands on; qemu-img finds them by itself.

## 1. Check the files

In this directory, and in that of every backup this one stands on:

```sh check
sha256sum --quiet -c SHA256SUMS
{checks}
```

## 2. Write each disk to a raw file or a block device

```sh restore
{restores}
```

Set `OUT` first if the disks should not go to the current directory. For a block device give its path instead of the
file and leave out the `resize` line, where there is one. For a qcow2 file use `-O qcow2`.

## 3. Bring the VM back

Its hardware is described in vm.json{ovf}. {boot}

## What these files are

point.json says what was saved, when, and the root of each disk. `vmferry vault verify` recomputes the roots; the
format of everything is in docs/format.md of vmferry.
"""


def build_guide(point: OpenPoint, disks: Sequence[BackupDisk], *, has_ovf: bool) -> bytes:
    """Write the page for one backup."""
    bootable = [disk.name for disk in disks if disk.bootable]
    return _PAGE.format(
        id=point.id,
        vm=_plain(point.vm),
        started=point.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        count=", ".join(f"{_plain(disk.name)} ({disk.size_bytes} bytes)" for disk in disks),
        checks="\n".join(_check_lines(disks)),
        restores="\n".join(line for disk in disks for line in restore_lines(disk)),
        ovf=", and in vm.ovf as its platform wrote it" if has_ovf else "",
        boot=f"It boots from disk {_plain(bootable[0])}." if bootable else "",
    ).encode()


def restore_lines(disk: BackupDisk) -> list[str]:
    """Give the exact lines that restore one disk."""
    out = '"${OUT:-.}"/' + shlex.quote(disk.image.name.removesuffix(".qcow2") + ".raw")
    lines = [f"qemu-img convert -f qcow2 -O raw {shlex.quote(disk.image.name)} {out}"]
    if disk.size_bytes % 512:
        # qcow2 counts in sectors of 512 bytes: the raw file is up to 511 zero bytes too long.
        lines.append(f"qemu-img resize -f raw --shrink {out} {disk.size_bytes}")
    return lines


def build_checksums(files: Iterable[StoredFile]) -> bytes:
    """Write SHA256SUMS."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name)).encode()


def _check_lines(disks: Sequence[BackupDisk]) -> list[str]:
    images = " ".join(shlex.quote(disk.image.name) for disk in disks if disk.mode.value == "incremental")
    if not images:
        return []
    return [
        f"for image in {images}; do",
        '  qemu-img info --backing-chain "$image" | sed -n "s/^image: //p" | while read -r layer; do',
        '    (cd "$(dirname "$layer")" && sha256sum --quiet -c SHA256SUMS) || exit 1',
        "  done || exit 1",
        "done",
    ]


def _plain(name: str) -> str:
    """Keep a name from breaking out of its line."""
    return "".join(char if char.isprintable() and char not in "`<>" else "?" for char in name)
