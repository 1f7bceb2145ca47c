"""What can be wrong before and during: one clear error, the right exit code, and nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.cli_sites.conftest import World

pytestmark = pytest.mark.timeout(1500)


def test_a_wrong_password_and_none_at_all(world: World) -> None:
    wrong = world.run("site", "check", code=2, VMFERRY_PASSWORD_SOURCE="not-this-one")
    assert "does not let admin@internal in" in wrong.err
    assert "not-this-one" not in wrong.err
    none = world.run("site", "check", code=2, VMFERRY_PASSWORD_SOURCE="")
    assert "VMFERRY_PASSWORD_SOURCE" in none.err
    assert "--password-file" in none.err


def test_a_password_comes_from_a_file_or_standard_input(world: World) -> None:
    (world.tmp / "secret").write_text(f"{world.prod.password_secret}\n")
    world.run("vm", "ls", "--password-file", "secret", VMFERRY_PASSWORD_SOURCE="wrong")
    world.run("vm", "ls", "--password-file", "-", stdin=f"{world.prod.password_secret}\n", VMFERRY_PASSWORD_SOURCE="")
    assert "No such file" in world.run("vm", "ls", "--password-file", "gone", code=2).err


def as_json(world: World) -> str:
    return json.dumps({
        "conn_type": "vmferry_ovirt", "host": world.prod.url, "login": world.prod.user,
        "password": world.prod.password_secret, "extra": {"ca_fingerprint": world.prod.fingerprint},
    })  # fmt: skip


def as_uri(world: World) -> str:
    user, host = world.prod.user.replace("@", "%40"), world.prod.url.removeprefix("https://")
    return f"vmferry-ovirt://https://{user}:{world.prod.password_secret}@{host}?ca_file={world.prod.ca}"


@pytest.mark.parametrize("write", [as_json, as_uri])
def test_airflows_connection_in_the_environment_is_enough(world: World, write: Any) -> None:
    world.write_policy(source_ovirt_url=None, source_ovirt_user=None, source_ovirt_cert_path=None,
                       sites={"source": {"type": "ovirt", "connection": "vmferry_source"}})  # fmt: skip
    nothing = world.run("vm", "ls", "--site", "source", code=2)
    assert "AIRFLOW_CONN_VMFERRY_SOURCE=" in nothing.err
    conn = write(world)
    world.run("vm", "ls", "--site", "source", AIRFLOW_CONN_VMFERRY_SOURCE=conn, VMFERRY_PASSWORD_SOURCE="")
    listed = world.run("site", "ls", "--json", AIRFLOW_CONN_VMFERRY_SOURCE=conn)
    assert [one["connection_set"] for one in listed.json()] == [True, False]
    assert world.prod.password_secret not in listed.out
    broken = world.run("vm", "ls", "--site", "source", code=2, AIRFLOW_CONN_VMFERRY_SOURCE="{not json, hunter2")
    assert "hunter2" not in broken.err


def test_without_a_policy_options_are_enough(world: World) -> None:
    vm = world.add_vm()
    (world.tmp / "variables.json").unlink()
    assert "--url" in world.run("vm", "ls", code=2).err
    reach = ("--url", world.prod.url, "--user", world.prod.user, "--ca-fingerprint", world.prod.fingerprint)
    secret = world.prod.password_secret
    world.run("vm", "backup", vm.name, "--vault", "elsewhere", *reach, VMFERRY_PASSWORD_SITE=secret)
    ground = ("--cluster", "Default", "--storage-domain", "prod-data", "--name", f"{vm.name}-b")
    restore = ("vm", "restore", vm.name, "--vault", "elsewhere", *reach, *ground, "--json")
    made = world.run(*restore, VMFERRY_PASSWORD_SITE=secret).json()
    held = world.digests(world.prod, list(vm.disks))
    assert world.digests(world.prod, world.disks_at(world.prod, made["vm_id"])) == held


def test_another_authority_is_not_believed(world: World) -> None:
    world.write_policy(source_ovirt_cert_path=str(world.dr.ca))
    answer = world.run("site", "check", code=2)
    assert world.prod.fingerprint in answer.err
    world.write_policy(target_ovirt_ca_fingerprint=world.prod.fingerprint)
    assert "pinned is" in world.run("site", "check", "--site", "target", code=2).err


def test_an_engine_that_is_gone_is_told_at_once(world: World) -> None:
    world.write_policy(source_ovirt_url="https://localhost:1/ovirt-engine/api")
    answer = world.run("vm", "backup", "web01", code=3)
    assert "localhost:1 does not answer" in answer.err
    assert world.open_runs() == []


def test_an_engine_that_restarts_meanwhile_is_waited_for(world: World) -> None:
    vm = world.add_vm()
    process = world.start_until(
        world.prod, {"method": "POST", "path": "/imagetransfers$"}, "vm", "backup", vm.name, hold_s=5
    )
    world.prod.kill_engine()
    world.prod.start_engine()
    assert process.wait(timeout=200) == 0, world.started_log()
    assert world.run("vault", "verify", "vault", vm.name, "--json").json()["sound"]
    assert world.leftovers("source") == []


def test_names_that_are_not_there(world: World) -> None:
    vm = world.add_vm()
    assert "has no VM 'nobody'" in world.run("vm", "backup", "nobody", code=2).err
    assert "no site 'mars'" in world.run("vm", "ls", "--site", "mars", code=2).err
    assert "source, target" in world.run("vm", "ls", "--site", "mars", code=2).err
    assert world.run("vm", "restore", vm.name, code=2).err
    world.run("vm", "backup", vm.name)
    world.run("vm", "restore", vm.name, "--backup", "19990101", code=2)
    assert "no cluster" in world.run("vm", "restore", vm.name, "--cluster", "nowhere", code=2).err
    assert "no storage domain" in world.run("vm", "restore", vm.name, "--storage-domain", "nowhere", code=2).err
    assert world.open_runs() == []
    assert not (world.tmp / "vault" / "nobody").exists()


def test_a_site_without_room(world: World) -> None:
    vm = world.add_vm()
    world.run("vm", "backup", vm.name)
    small = f"{world.name}-small"
    world.dr.hook("domain", name=small, size=1 << 16)
    answer = world.run("vm", "restore", vm.name, "--storage-domain", small, code=4)
    assert "the disks may need" in answer.err
    assert world.open_runs() == world.leftovers("target") == []


def test_a_check_says_what_the_user_lacks(world: World) -> None:
    good = world.run("site", "check", "--json").json()
    assert (good["authority"], good["warnings"]) == (world.prod.fingerprint, [])
    assert good["missing_for_backup"] == good["missing_for_restore"] == []
    world.prod.hook("user", name="reader@internal", password="planted", permits=["read", "backup"])
    answer = world.run("site", "check", "--user", "reader@internal", code=1, VMFERRY_PASSWORD_SOURCE="planted")
    assert "lacks, for a backup: access_image_storage" in answer.out
    assert "planted" not in answer.out + answer.err


def test_dag_runs_of_a_dead_airflow_go_by_a_persons_word(world: World) -> None:
    from vmferry.engine.units import MiB
    from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
    from vmferry.platforms.points import PointOrder
    from vmferry.platforms.runs import RunId

    vm = world.add_vm()
    settings = OvirtSettings("source", world.prod.url, world.prod.user, world.prod.password_secret,
                             ca_fingerprint=world.prod.fingerprint, reserve_bytes=MiB)  # fmt: skip
    run = RunId.of(f"backup_{world.name}", "scheduled__2026-11-30T02:00:00+00:00")
    with OvirtSite(settings) as site:
        found = site.describe(vm.name)
        site.open_point(found, run, PointOrder(tuple(disk.id for disk in found.disks), None, False))
    busy = world.run("vm", "backup", vm.name, code=5)
    assert run.text in busy.err
    assert world.open_runs() == []
    kept = world.run("site", "sweep", code=1)
    assert f"{run.text}: nobody says that its run is dead" in kept.out
    assert run.text in world.run("site", "leftovers", "--dead", f"backup_{world.name}/*").out
    world.sweep("source", "--dead", f"backup_{world.name}/*")
    assert world.leftovers("source") == []
    world.run("vm", "backup", vm.name)
