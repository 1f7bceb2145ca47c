"""The qemu of one VM: it serves the guest's disks, tracks their changes, freezes moments, takes and merges snapshots.

It is a real qemu-storage-daemon over all of a VM's disks, so that one transaction freezes them at the same instant.
Nothing about it is remembered here: what it has is asked of qemu, so an engine that was killed finds everything again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.ovirt.blocks import (
    await_job,
    begin_bitmap,
    bitmap_step,
    create_scratch,
    delete_node,
    export,
    file_name,
    guest_name,
    list_exports,
    list_jobs,
    list_nodes,
    merge_bitmaps,
    node_name,
    node_options,
    short_name,
    throttle,
    unexport,
)
from lab.ovirt.model import Disk, Layer
from lab.ovirt.qmp import Qmp, QmpError
from lab.ovirt.storage import Storage


@dataclass
class Frozen:
    """A disk's frozen moment."""

    url: str
    dirty: bool = False
    """Its export has a dirty bitmap."""
    broken: str | None = None
    """Why the bitmap asked for could not be had."""


@dataclass
class Freeze:
    """What is to be frozen."""

    backup: str
    disks: Sequence[Disk]
    checkpoint: str | None
    """Bitmap to begin on tracked disks."""
    tracked: set[str]
    """Disks whose changes are tracked."""
    chains: dict[str, list[str]] = field(default_factory=dict)
    """Per disk to be read incrementally: the checkpoints since the one asked for, oldest first."""
    slow_bytes_per_s: int = 0


class Machine:
    """One VM's qemu."""

    def __init__(self, name: str, storage: Storage) -> None:
        self.lock = threading.RLock()
        self._process = f"vm-{name}"
        self._storage = storage
        short = name.replace("-", "")[:12]
        self._qmp = storage.run / f"q{short}.qmp"
        self._nbd = storage.run / f"q{short}.nbd"
        self._scratch = storage.root.parent / "scratch"

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return bool(self._storage.agent.ask("is_alive", name=self._process)["alive"])

    def guest_url(self, disk: Disk) -> str:
        """Where the guest reads and writes, as an NBD URL."""
        return f"nbd+unix:///{guest_name(disk)}?socket={self._nbd}"

    def ensure(self, disks: Sequence[Disk]) -> None:
        """Have the process run with these disks, and serve them to the guest."""
        with self.lock:
            for disk in disks:
                self._storage.create(disk)
            if not self.is_running:
                self._start()
            with Qmp(self._qmp) as qmp:
                nodes, exports = list_nodes(qmp), list_exports(qmp)
                for disk in disks:
                    self._add_nodes(qmp, disk, nodes)
                    if guest_name(disk) not in exports:
                        export(qmp, guest_name(disk), node_name(disk.layers[-1]), writable=True)

    def stop(self, *, kill: bool = False) -> None:
        """End the process; without `kill` qemu stores its bitmaps, with it they are broken, as after a crash."""
        with self.lock:
            self._storage.agent.ask("stop", name=self._process, kill=kill)

    def unplug(self, disk: Disk) -> None:
        """Take a disk away from a running process."""
        with self.lock:
            if not self.is_running:
                return
            with Qmp(self._qmp) as qmp:
                unexport(qmp, guest_name(disk))
                nodes = list_nodes(qmp)
                for layer in reversed(disk.layers):
                    if node_name(layer) in nodes:
                        delete_node(qmp, node_name(layer))

    def freeze(self, wish: Freeze) -> dict[str, Frozen]:
        """Freeze all disks at one instant and serve that moment; the guest goes on."""
        with self.lock, Qmp(self._qmp) as qmp:
            steps: list[dict[str, Any]] = []
            for disk in wish.disks:
                steps += self._freeze_steps(qmp, wish, disk)
            qmp.command("transaction", actions=steps)
            return {disk.id: self._serve_frozen(qmp, wish, disk) for disk in wish.disks}

    def release(self, backup: str, disks: Sequence[Disk]) -> None:
        """Let a frozen moment go; may be called twice."""
        with self.lock:
            if not self.is_running:
                return
            with Qmp(self._qmp) as qmp:
                for disk in disks:
                    self._release_disk(qmp, backup, disk)

    def snapshot(self, disks: Sequence[Disk], fresh: dict[str, Layer]) -> None:
        """Let the guest write into new volumes from one instant on; tracking goes on in them."""
        with self.lock, Qmp(self._qmp) as qmp:
            steps: list[dict[str, Any]] = []
            nodes = list_nodes(qmp)
            exports = list_exports(qmp)
            for disk in disks:
                old, new = node_name(disk.layers[-1]), fresh[disk.id]
                if exports[guest_name(disk)] == node_name(new):  # an engine that was killed then had done it
                    continue
                if node_name(new) not in nodes:
                    self._add_node(qmp, disk, new, backing=None)
                steps.append({"type": "blockdev-snapshot", "data": {"node": old, "overlay": node_name(new)}})
                for bitmap in nodes[old].get("dirty-bitmaps", []):
                    if bitmap["recording"] and bitmap["persistent"] and not bitmap.get("inconsistent"):
                        steps.append(bitmap_step(node_name(new), bitmap["name"]))
            if steps:
                qmp.command("transaction", actions=steps)

    def merge(self, disk: Disk, index: int) -> None:
        """Merge volume `index + 1` into `index`, bitmaps and all; the guest goes on.

        An engine that was killed meanwhile calls it again, and it goes on from where qemu is.
        """
        base, top, active = (node_name(disk.layers[i]) for i in (index, index + 1, -1))
        job = f"m{top}"
        with self.lock, Qmp(self._qmp) as qmp:
            bitmaps = [one for one in list_nodes(qmp)[top]["dirty-bitmaps"] if not one.get("inconsistent")]
            if self._is_merged(qmp, disk, index):
                kept = {one["name"] for one in list_nodes(qmp)[base]["dirty-bitmaps"]}
            else:
                kept = self._stop_bitmaps(qmp, disk, index)
                if job not in list_jobs(qmp):
                    qmp.command("block-commit", job_id=job, device=active, top_node=top, base_node=base)
                if top == active:
                    await_job(qmp, job, "ready")
                    for bitmap in bitmaps:  # what the guest writes from here on is tracked on both
                        begin_bitmap(qmp, base, bitmap, kept)
                    kept |= {bitmap["name"] for bitmap in bitmaps}
                    qmp.command("job-complete", id=job)
                await_job(qmp, job, None)
            self._make_writable(qmp, disk, index)
            for bitmap in bitmaps if top != active else []:
                begin_bitmap(qmp, base, bitmap, kept)
            for bitmap in bitmaps:
                merge_bitmaps(qmp, base, bitmap["name"], [{"node": top, "name": bitmap["name"]}])
            delete_node(qmp, top)

    def remove_bitmap(self, disks: Sequence[Disk], name: str) -> None:
        """Forget a checkpoint on every volume that has it."""
        with self.lock, Qmp(self._qmp) as qmp:
            nodes = list_nodes(qmp)
            for disk in disks:
                for index, layer in enumerate(disk.layers):
                    found = nodes.get(node_name(layer), {}).get("dirty-bitmaps", [])
                    if any(one["name"] == name for one in found):
                        self._make_writable(qmp, disk, index)
                        qmp.command("block-dirty-bitmap-remove", node=node_name(layer), name=name)

    def hand_over_bitmap(self, disks: Sequence[Disk], name: str, older: str) -> None:
        """Add what a checkpoint's bitmap knows to the one before it, which goes on if it did, so that it may go."""
        with self.lock, Qmp(self._qmp) as qmp:
            nodes = list_nodes(qmp)
            for disk in disks:
                for index, layer in enumerate(disk.layers):
                    node = node_name(layer)
                    found = {one["name"]: one for one in nodes.get(node, {}).get("dirty-bitmaps", [])}
                    if name not in found or older not in found or found[name].get("inconsistent"):
                        continue
                    self._make_writable(qmp, disk, index)
                    if found[name]["recording"]:
                        qmp.command("block-dirty-bitmap-enable", node=node, name=older)
                    merge_bitmaps(qmp, node, older, [{"node": node, "name": name}])

    def resize(self, disk: Disk, size: int) -> None:
        """Make a disk larger; the guest has to connect again to see it."""
        with self.lock, Qmp(self._qmp) as qmp:
            unexport(qmp, guest_name(disk))
            qmp.command("block_resize", node_name=node_name(disk.layers[-1]), size=size)
            export(qmp, guest_name(disk), node_name(disk.layers[-1]), writable=True)

    # What the above is made of.

    def _is_merged(self, qmp: Qmp, disk: Disk, index: int) -> bool:
        """Whether qemu has done it already: the volume is neither what the guest writes nor under what it writes."""
        if index + 2 == len(disk.layers):
            return list_exports(qmp).get(guest_name(disk)) == node_name(disk.layers[index])
        above = list_nodes(qmp)[node_name(disk.layers[index + 2])]
        return Path(above.get("backing_file", "")).name == disk.layers[index].id

    def _stop_bitmaps(self, qmp: Qmp, disk: Disk, index: int) -> set[str]:
        """Let what a merge writes into a volume not count as a change; return the names of its bitmaps."""
        node = node_name(disk.layers[index])
        self._make_writable(qmp, disk, index)
        found = list_nodes(qmp)[node]["dirty-bitmaps"]
        for one in found:
            if one["recording"]:
                qmp.command("block-dirty-bitmap-disable", node=node, name=one["name"])
        return {one["name"] for one in found}

    def _make_writable(self, qmp: Qmp, disk: Disk, index: int) -> None:
        """qemu makes a volume read-only when another one goes on top, and its bitmaps with it."""
        layer = disk.layers[index]
        if not list_nodes(qmp)[node_name(layer)]["ro"]:
            return
        options = node_options(layer, node_name(disk.layers[index - 1]) if index else None)
        qmp.command("blockdev-reopen", options=[{**options, "read-only": False}])

    def _start(self) -> None:
        for path in (self._qmp, self._nbd):
            path.unlink(missing_ok=True)
        # max-connections=0: as many readers at once as want to.
        command = [
            "qemu-storage-daemon",
            "--nbd-server", f"addr.type=unix,addr.path={self._nbd},max-connections=0",
            "--chardev", f"socket,id=qmp,path={self._qmp},server=on,wait=off",
            "--monitor", "chardev=qmp",
        ]  # fmt: skip
        self._storage.agent.ask("spawn", name=self._process, command=command)

    def _add_nodes(self, qmp: Qmp, disk: Disk, nodes: dict[str, Any]) -> None:
        below: str | None = None
        for layer in disk.layers:
            if node_name(layer) not in nodes:
                self._add_node(qmp, disk, layer, backing=below)
            below = node_name(layer)

    def _add_node(self, qmp: Qmp, disk: Disk, layer: Layer, backing: str | None) -> None:
        path = str(self._storage.path(disk, layer))
        qmp.command("blockdev-add", driver="file", node_name=file_name(layer), filename=path, discard="unmap")
        qmp.command("blockdev-add", **node_options(layer, backing))

    def _freeze_steps(self, qmp: Qmp, wish: Freeze, disk: Disk) -> Iterator[dict[str, Any]]:
        top, scratch = node_name(disk.layers[-1]), short_name("s", wish.backup, disk.id)
        path = self._scratch / scratch
        self._scratch.mkdir(parents=True, exist_ok=True)
        create_scratch(path, disk.size)
        file = {"driver": "file", "filename": str(path)}
        qmp.command("blockdev-add", driver="qcow2", node_name=scratch, backing=top, file=file)
        yield {
            "type": "blockdev-backup",
            "data": {"job-id": short_name("j", wish.backup, disk.id), "device": top, "target": scratch, "sync": "none"},
        }
        if not wish.checkpoint or disk.id not in wish.tracked:
            return
        for bitmap in list_nodes(qmp)[top].get("dirty-bitmaps", []):
            if bitmap["recording"] and bitmap["persistent"] and not bitmap.get("inconsistent"):
                yield {"type": "block-dirty-bitmap-disable", "data": {"node": top, "name": bitmap["name"]}}
        yield bitmap_step(top, wish.checkpoint)

    def _serve_frozen(self, qmp: Qmp, wish: Freeze, disk: Disk) -> Frozen:
        served = scratch = short_name("s", wish.backup, disk.id)
        top, made = node_name(disk.layers[-1]), Frozen("")
        bitmaps: list[dict[str, str]] = []
        if disk.id in wish.chains:
            made.broken = self._merge_chain(qmp, wish, disk)
            if made.broken is None:
                made.dirty = True
                bitmaps = [{"node": top, "name": short_name("t", wish.backup, disk.id)}]
        if wish.slow_bytes_per_s:
            served = throttle(qmp, scratch, wish.slow_bytes_per_s)
        name = short_name("e", wish.backup, disk.id)
        export(qmp, name, served, bitmaps=bitmaps, **{"allocation-depth": True})
        made.url = f"nbd:unix:{self._nbd}:exportname={name}"
        return made

    def _merge_chain(self, qmp: Qmp, wish: Freeze, disk: Disk) -> str | None:
        """Put together what changed since the first checkpoint of the chain; say why that cannot be done."""
        top, temporary = node_name(disk.layers[-1]), short_name("t", wish.backup, disk.id)
        nodes = list_nodes(qmp)
        sources: list[dict[str, str]] = []
        for name in wish.chains[disk.id]:
            holders = [
                node_name(layer) for layer in disk.layers
                if any(one["name"] == name for one in nodes[node_name(layer)].get("dirty-bitmaps", []))
            ]  # fmt: skip
            if not holders:
                return f"Bitmap does not exist: {name}"
            sources += [{"node": holder, "name": name} for holder in holders]
        try:
            qmp.command("block-dirty-bitmap-add", node=top, name=temporary, persistent=False, disabled=True)
            merge_bitmaps(qmp, top, temporary, sources)
        except QmpError as error:
            return f"Bitmap does not exist: {error}"
        return None

    def _release_disk(self, qmp: Qmp, backup: str, disk: Disk) -> None:
        scratch, job = short_name("s", backup, disk.id), short_name("j", backup, disk.id)
        unexport(qmp, short_name("e", backup, disk.id))
        if any(one["id"] == job for one in qmp.command("query-jobs")):
            qmp.command("job-cancel", id=job)
            qmp.await_event("JOB_STATUS_CHANGE", id=job, status="null")
        nodes = list_nodes(qmp)
        if f"{scratch}-slow" in nodes:
            qmp.command("blockdev-del", node_name=f"{scratch}-slow")
            qmp.command("object-del", id=f"{scratch}-group")
        if scratch in nodes:
            qmp.command("blockdev-del", node_name=scratch)
        top, temporary = node_name(disk.layers[-1]), short_name("t", backup, disk.id)
        if any(one["name"] == temporary for one in nodes.get(top, {}).get("dirty-bitmaps", [])):
            qmp.command("block-dirty-bitmap-remove", node=top, name=temporary)
        with contextlib.suppress(FileNotFoundError):
            (self._scratch / scratch).unlink()
