"""The commands as a person uses them, end to end, in text and in JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from lab.nbd import serve
from tests.integration.cli.conftest import Run

from vmferry.cli import main as program

MiB = 1 << 20


def _commands() -> list[tuple[str, click.Command]]:
    context, found = click.Context(program), []
    for name in program.list_commands(context):
        group = program.get_command(context, name)
        if isinstance(group, click.Group):
            found += [(f"{name} {inner}", group.get_command(context, inner)) for inner in group.list_commands(context)]
        else:
            found.append((name, group))
    return [(name, command) for name, command in found if command is not None]


@pytest.mark.parametrize(("name", "command"), _commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_json_an_example_and_a_page(name: str, command: click.Command) -> None:
    assert any("--json" in option.opts for option in command.params)
    assert "Example:" in (command.epilog or "")
    assert f"vmferry {name}" in (command.epilog or "")
    assert (Path(__file__).parents[3] / "docs" / "commands" / f"{name.replace(' ', '-')}.md").exists()


def test_help_imports_no_engine() -> None:
    code = "import sys, vmferry.cli.program as p; p.main(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert all(
        f"'{heavy}'" not in loaded for heavy in ("pydantic", "vmferry.engine.pump", "vmferry.vault.whole", "ssl")
    )


def test_a_backup_a_day_later_restored_three_ways(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    before = disk.read_bytes()
    vmferry("vault", "add", "vault", "web01", f"root={disk}")
    with disk.open("r+b") as file:
        file.seek(MiB)
        file.write(b"changed")
    added = vmferry("vault", "add", "vault", "web01", f"root={disk}", "--incremental", "--json").json()
    assert added["mode"] == "incremental"
    listed = vmferry("vault", "ls", "vault", "--json").json()
    assert [one["chain_length"] for one in listed] == [1, 2]
    vmferry("vault", "restore", "vault", "web01", "root=new.raw")
    vmferry("vault", "restore", "vault", "web01", "root=new.qcow2")
    vmferry("vault", "restore", "vault", "web01", "--backup", listed[0]["id"], "root=old.raw")
    assert (tmp_path / "new.raw").read_bytes() == disk.read_bytes()
    assert (tmp_path / "old.raw").read_bytes() == before
    answer = vmferry("disk", "compare", "old.raw", "new.raw", "--json", code=1).json()
    assert answer["differences"] == [{"offset": MiB, "length": 65536}]
    report = vmferry("vault", "verify", "vault", "--json").json()
    assert report["sound"]
    assert vmferry("vault", "doctor", "vault", "--json").json() == []


def test_a_restore_to_standard_output_is_the_disk_and_nothing_else(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    vmferry("vault", "add", "vault", "web01", f"root={disk}")
    command = [str(Path(sys.executable).with_name("vmferry")), "vault", "restore", "vault", "web01", "root=-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == disk.read_bytes()


def test_copy_and_prove_over_nbd(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(b"\xff" * (10 * MiB))
    with serve(disk, socket_path=tmp_path / "a"), serve(target, socket_path=tmp_path / "b"):
        source, sink = f"nbd+unix:///?socket={tmp_path / 'a'}", f"nbd+unix:///?socket={tmp_path / 'b'}"
        copied = vmferry("disk", "copy", source, sink, "--proof", "p", "--json", "--verify").json()
        measured = vmferry("disk", "proof", source, "--json").json()
    assert copied["root"] == measured["root"]
    assert copied["verified"] is True
    assert target.read_bytes()[: copied["size_bytes"]].rstrip(b"\0") == disk.read_bytes().rstrip(b"\0")
    assert not any(target.read_bytes()[copied["size_bytes"] :])
    vmferry("disk", "compare", "p", disk, code=0 if copied["size_bytes"] == disk.stat().st_size else 1)


def test_what_a_policy_is_worth_and_what_it_would_do(tmp_path: Path, vmferry: Run) -> None:
    example = Path(__file__).parents[3] / "variables.example.json"
    assert vmferry("policy", "check", example, "--json").json()["ok"]
    planned = vmferry("policy", "plan", example, "--days", "3", "--from", "2026-11-30T00:00", "--json").json()
    assert any(one["runs"] for one in planned["vms"])
    broken = tmp_path / "broken.json"
    raw = json.loads(example.read_text())
    broken.write_text(json.dumps({**raw, "backup_directry": "/x"}))
    answer = vmferry("policy", "check", broken, "--json", code=2).json()
    assert "backup_directory" in json.dumps(answer)


def test_jobs_can_be_seen_slowed_and_forgotten(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    vmferry("disk", "copy", disk, "out.raw", "--job", tmp_path / "job")
    shown = vmferry("job", "show", tmp_path / "job", "--json").json()
    assert shown["state"] == "done"
    assert vmferry("job", "rate", tmp_path / "job", "20MiB", "--json").json()["bytes_per_s"] == 20 * MiB
    vmferry("job", "forget", tmp_path / "job")
    assert not (tmp_path / "job").exists()
    assert "no job" in vmferry("job", "show", tmp_path / "job", code=2).err
    assert vmferry("job", "ls", "--json").json() == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, vmferry: Run) -> None:
    assert "_VMFERRY_COMPLETE" in vmferry("completion", shell).out
