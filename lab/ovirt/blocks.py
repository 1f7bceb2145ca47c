"""qemu's block layer in words: nodes, exports, bitmaps, jobs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from lab.ovirt.model import Disk, Layer
from lab.ovirt.qmp import Qmp, QmpError


def node_name(layer: Layer) -> str:
    """Name a volume's node; qemu allows 31 characters."""
    return "l" + layer.id.replace("-", "")[:28]


def file_name(layer: Layer) -> str:
    """Name the node under it, which holds the file."""
    return "f" + node_name(layer)[1:]


def node_options(layer: Layer, backing: str | None) -> dict[str, Any]:
    """Describe a volume to qemu."""
    made = {"driver": layer.format, "node-name": node_name(layer), "file": file_name(layer), "discard": "unmap"}
    return {**made, "backing": backing} if layer.format == "qcow2" else dict(made)


def delete_node(qmp: Qmp, name: str) -> None:
    """Take a volume out of qemu."""
    qmp.command("blockdev-del", node_name=name)
    qmp.command("blockdev-del", node_name="f" + name[1:])


def list_jobs(qmp: Qmp) -> dict[str, str]:
    """Name the jobs that run, with their status."""
    return {one["id"]: one["status"] for one in qmp.command("query-jobs")}


def await_job(qmp: Qmp, job: str, status: str | None) -> None:
    """Wait until a job has a status; None: until it is gone."""
    while (found := list_jobs(qmp).get(job)) != status:
        if found is None:
            raise QmpError(f"job {job} ended before it was {status}")
        time.sleep(0.02)


def guest_name(disk: Disk) -> str:
    """Name the export that the guest uses."""
    return f"guest-{disk.id}"


def short_name(kind: str, backup: str, disk: str) -> str:
    """Name something of a backup's disk, in a node name's 31 characters."""
    return f"{kind}{backup.replace('-', '')[:11]}-{disk.replace('-', '')[:11]}"


def list_nodes(qmp: Qmp) -> dict[str, Any]:
    """Name the nodes there are."""
    nodes = {one["node-name"]: one for one in qmp.command("query-named-block-nodes", flat=True)}
    for one in nodes.values():  # a running backup has a bitmap of its own, without a name
        one["dirty-bitmaps"] = [bitmap for bitmap in one.get("dirty-bitmaps", []) if bitmap.get("name")]
    return nodes


def list_exports(qmp: Qmp) -> dict[str, str]:
    """Name the exports there are, and the node that each serves now."""
    return {one["id"]: one["node-name"] for one in qmp.command("query-block-exports")}


def export(qmp: Qmp, name: str, node: str, **more: Any) -> None:
    """Serve a node."""
    qmp.command("block-export-add", type="nbd", id=name, name=name, node_name=node, **more)


def unexport(qmp: Qmp, name: str) -> None:
    """Serve it no longer; may be called twice."""
    if name in list_exports(qmp):
        qmp.command("block-export-del", id=name, mode="hard")
        qmp.await_event("BLOCK_EXPORT_DELETED", id=name)


def bitmap_step(node: str, name: str) -> dict[str, Any]:
    """Describe a new persistent bitmap, as a part of a transaction."""
    return {"type": "block-dirty-bitmap-add", "data": {"node": node, "name": name, "persistent": True}}


def begin_bitmap(qmp: Qmp, node: str, like: dict[str, Any], kept: set[str]) -> None:
    """Have a bitmap on a node as it is on another one."""
    if not like["persistent"] or like.get("inconsistent"):
        return
    name, recording = like["name"], like["recording"]
    if name not in kept:
        qmp.command("block-dirty-bitmap-add", node=node, name=name, persistent=True, disabled=not recording)
    elif recording:
        qmp.command("block-dirty-bitmap-enable", node=node, name=name)


def merge_bitmaps(qmp: Qmp, node: str, target: str, sources: list[dict[str, str]]) -> None:
    """Add bitmaps to one."""
    qmp.command("block-dirty-bitmap-merge", node=node, target=target, bitmaps=sources)


def throttle(qmp: Qmp, node: str, bytes_per_s: int) -> str:
    """Put a brake over a node; return its name."""
    group = f"{node}-group"
    qmp.command("object-add", **{"qom-type": "throttle-group", "id": group, "limits": {"bps-total": bytes_per_s}})
    qmp.command(
        "blockdev-add", driver="throttle", node_name=f"{node}-slow", file=node, **{"throttle-group": group}
    )  # fmt: skip
    return f"{node}-slow"


def create_scratch(path: Path, size: int) -> None:
    """Make the file that old blocks are kept in."""
    path.unlink(missing_ok=True)
    done = subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(size)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise QmpError(f"scratch disk: {done.stderr.strip()}")
