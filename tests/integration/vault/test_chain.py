"""Backups go in and come out again, whatever happens to the disk in between."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.vault.conftest import Machine, MakeMachine

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import BadInput, ProofMismatch
from vmferry.vault import (
    Changes,
    Method,
    Mode,
    Order,
    add_point,
    list_backups,
    restore,
    restore_stream,
    show_backup,
    verify,
)
from vmferry.vault.errors import NoSuchBackup

MiB = 1 << 20


def test_a_chain_of_twelve_gives_every_point_back(machine: Machine) -> None:
    machine.grow_chain(12)
    assert [one.mode for one in machine.backups] == [Mode.FULL, *[Mode.INCREMENTAL] * 11]
    for backup in machine.backups:
        assert machine.restored(backup.id) == machine.contents[backup.id]
    assert verify(machine.vault).sound
    assert show_backup(machine.vault, machine.vm).chain_length == 12


def test_a_chain_ends_before_qemu_img_cannot_follow_it(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    machine = Machine(deep, MiB, vm="a virtual machine with a long name: " + "ü" * 40)
    machine.grow_chain(16)
    assert Mode.FULL in [one.disks[0].mode for one in machine.backups[8:]]
    assert "as long as qemu-img can follow" in " ".join(one.disks[0].reason for one in machine.backups)
    assert verify(machine.vault).sound
    for backup in machine.backups:
        out = tmp_path / "out.raw"
        image = machine.vault.vm_dir(machine.vm) / backup.id / "root.qcow2"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, out], check=True)
        assert out.read_bytes() == machine.contents[backup.id]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(
        st.sampled_from([1, 511, 512, 65_536, 65_537, 4 * MiB, 4 * MiB + 777, 9 * MiB - 1]), min_size=1, max_size=5
    ),
    seed=st.integers(0, 1000),
)
def test_any_size_that_grows_and_shrinks(sizes: list[int], seed: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        machine = Machine(Path(scratch), sizes[0], seed)
        for size in sizes:
            machine.resize(size)
            machine.scribble(2, 3000)
            machine.add()
        assert verify(machine.vault).sound
        for backup in machine.backups:
            assert machine.restored(backup.id) == machine.contents[backup.id]


def test_the_mode_is_per_disk(machine: Machine) -> None:
    machine.grow_chain(2)
    data = machine.root / "data.raw"
    data.write_bytes(bytes(2 * MiB))
    sources = {"root": machine.spec, "da ta": EndpointSpec("file", str(data))}
    backup = add_point(machine.vault, Order(machine.vm, sources, incremental=True))
    assert backup.mode is Mode.INCREMENTAL
    assert [disk.mode for disk in backup.disks] == [Mode.INCREMENTAL, Mode.FULL]
    assert backup.disks[1].reason == "no backup has this disk yet"
    machine.resize(5 * MiB)
    again = add_point(machine.vault, Order(machine.vm, sources, incremental=True))
    assert [disk.mode for disk in again.disks] == [Mode.FULL, Mode.INCREMENTAL]
    assert "shrank" in again.disks[0].reason
    assert verify(machine.vault).sound


def test_a_dirty_bitmap_is_followed_and_a_lost_one_heals(tmp_path: Path) -> None:
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, "64M")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 3M", "-c", "write -P 8 40M 1M", image)
    machine = Machine(tmp_path, 1)
    plain = EndpointSpec("image", str(image), "qcow2")
    add_point(machine.vault, Order("db", {"root": plain}))
    run("qemu-img", "bitmap", "--add", image, "since")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 9 1M 128k", "-c", "write -z 40M 1M", image)
    dirty = EndpointSpec("image", str(image), "qcow2", {"bitmap": "since"})
    changes = {"root": Changes("since")}
    first = add_point(machine.vault, Order("db", {"root": dirty}, incremental=True, changes=changes))
    assert first.disks[0].method is Method.DIRTY
    assert first.disks[0].read_bytes < 2 * MiB
    run("qemu-img", "bitmap", "--remove", image, "since")
    second = add_point(machine.vault, Order("db", {"root": dirty}, incremental=True, changes=changes))
    assert second.disks[0].method is Method.HEALED
    assert "lost" in second.disks[0].reason
    assert second.disks[0].changed_bytes == 0
    assert second.disks[0].root == first.disks[0].root
    restored = tmp_path / "out.qcow2"
    target = EndpointSpec("image", str(restored), "qcow2", {"create": {}})
    restore(machine.vault, "db", {"root": target})
    run("qemu-img", "compare", image, restored)
    assert verify(machine.vault).sound


def test_a_stream_is_the_disk_in_order(machine: Machine) -> None:
    machine.grow_chain(3)
    for backup in machine.backups:
        out = io.BytesIO()
        assert restore_stream(machine.vault, machine.vm, "root", out, backup=backup.id) == backup.disks[0].root
        assert out.getvalue() == machine.contents[backup.id]


def test_a_vault_can_be_moved(machine: Machine) -> None:
    machine.grow_chain(3)
    moved = machine.root / "elsewhere"
    machine.vault.path.rename(moved)
    machine.vault = type(machine.vault)(moved)
    assert machine.restored() == machine.contents[machine.backups[-1].id]


def test_a_restore_that_reads_something_else_says_so(machine: Machine) -> None:
    machine.grow_chain(1)
    with machine.disk.open("r+b") as file:
        file.seek(2 * MiB)
        file.write(machine.rng.randbytes(MiB))
    backup = machine.add()
    image = machine.vault.vm_dir(machine.vm) / backup.id / "root.qcow2"
    raw = bytearray(image.read_bytes())
    # Random bytes do not compress, so the qcow2 holds them as they are.
    raw[raw.index(machine.contents[backup.id][2 * MiB : 2 * MiB + 4096])] ^= 1
    image.write_bytes(raw)
    with pytest.raises(ProofMismatch, match=rf"web/1.*{backup.id}.*root"):
        machine.restored()
    (found,) = [one for one in verify(machine.vault).findings if one.guest_offset is not None]
    assert (found.backup, found.disk, found.guest_offset) == (backup.id, "root", 2 * MiB)


@pytest.mark.parametrize("wanted", ["nothing", "2026010", ""], ids=["unknown", "ambiguous", "empty"])
def test_a_backup_that_cannot_be_meant(machine: Machine, wanted: str) -> None:
    machine.grow_chain(2)
    with pytest.raises(NoSuchBackup):
        machine.restored(wanted)
    assert machine.restored("20260101") == machine.contents[machine.backups[0].id]


def test_a_bad_source_leaves_no_trace(machine: Machine) -> None:
    missing = EndpointSpec("file", str(machine.root / "nothing"))
    with pytest.raises(BadInput, match="nothing"):
        add_point(machine.vault, Order(machine.vm, {"root": missing}))
    assert not list(machine.vault.path.rglob("*"))


def test_names_cannot_leave_the_vault(make_machine: MakeMachine) -> None:
    machine = make_machine(MiB, vm="../..")
    backup = add_point(machine.vault, Order(machine.vm, {"../x": machine.spec, "..": machine.spec}))
    assert sorted(path.name for path in machine.root.iterdir()) == ["disk.raw", "vault"]
    (summary,) = list_backups(machine.vault)
    assert (summary.vm, summary.id) == ("../..", backup.id)
    assert [disk.name for disk in summary.disks] == ["../x", ".."]
    assert verify(machine.vault, "../..").sound


def test_a_list_reads_no_disk(machine: Machine) -> None:
    machine.grow_chain(2)
    for path in machine.paths():
        if path.suffix != ".json":
            path.unlink()
    assert [one.id for one in list_backups(machine.vault)] == [one.id for one in machine.backups]


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def test_qemu_img_alone_follows_the_guide(machine: Machine) -> None:
    """Runs the very lines of RESTORE.md with nothing but qemu-img on the PATH."""
    machine.grow_chain(3)
    tools = machine.root / "bin"
    tools.mkdir()
    qemu_img = shutil.which("qemu-img")
    assert qemu_img
    (tools / "qemu-img").symlink_to(qemu_img)
    for backup in machine.backups:
        place = machine.vault.vm_dir(machine.vm) / backup.id
        guide = (place / "RESTORE.md").read_text()
        out = machine.root / f"out-{backup.id}"
        out.mkdir()
        lines = guide.partition("```sh restore\n")[2].partition("```")[0]
        subprocess.run(["/bin/sh", "-ec", lines], cwd=place, env={"PATH": str(tools), "OUT": str(out)}, check=True)
        assert (out / "root.raw").read_bytes() == machine.contents[backup.id]
        checks = guide.partition("```sh check\n")[2].partition("```")[0]
        subprocess.run(["/bin/sh", "-ec", checks], cwd=place, check=True)
    first = machine.vault.vm_dir(machine.vm) / machine.backups[0].id / "root.qcow2"
    raw = bytearray(first.read_bytes())
    raw[len(raw) // 2] ^= 4
    first.write_bytes(raw)
    failed = subprocess.run(["/bin/sh", "-ec", checks], cwd=place, capture_output=True, check=False)
    assert failed.returncode != 0


def test_a_restore_writes_neither_into_the_vault_nor_two_disks_into_one(machine: Machine) -> None:
    order = Order(machine.vm, {"root": machine.spec, "data": machine.spec})
    folder = machine.vault.vm_dir(machine.vm) / add_point(machine.vault, order).id
    (machine.root / "link").symlink_to(folder)
    inside = EndpointSpec("image", str(machine.root / "link" / "data.qcow2"), "qcow2")
    with pytest.raises(BadInput, match="in the vault itself"):
        restore(machine.vault, machine.vm, {"root": inside})
    twice = (EndpointSpec("file", str(machine.root / name)) for name in ("new.raw", "./new.raw"))
    with pytest.raises(BadInput, match="both disk root and disk data"):
        restore(machine.vault, machine.vm, dict(zip(("root", "data"), twice, strict=True)))
    assert not (machine.root / "new.raw").exists()
    assert verify(machine.vault).sound
