# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk copy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vmferry.cli.disk.group import LOCATION_HELP, disk, source_options
from vmferry.cli.output import Output, command
from vmferry.engine.errors import BadInput, ProofMismatch
from vmferry.engine.units import format_bytes, format_seconds, parse_rate


@command(
    disk,
    "copy",
    more=LOCATION_HELP,
    example="vmferry disk copy web01.qcow2 /dev/vdb --rate 50MiB\n"
    "vmferry disk copy https://host/image.raw disk.qcow2 --compress --verify\n"
    "vmferry disk copy nbd://host:10809/disk mirror.raw --dirty daily --parent full.proof --proof inc1.proof",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--rate", help="Bytes a second, as 50MiB; change it while the copy runs with `vmferry job rate`.")
@click.option(
    "--job", "job_dir", type=click.Path(path_type=Path, file_okay=False), help="Keep journal, log and progress here."
)
@click.option("--proof", "proof_path", type=click.Path(path_type=Path), help="Write the proof of the copied disk here.")
@click.option("--dirty", metavar="BITMAP", help="Copy only what changed since this bitmap; needs --parent.")
@click.option("--parent", multiple=True, type=click.Path(path_type=Path), help="Proof of what DST holds, oldest first.")
@click.option("--target-format", metavar="FORMAT", help="Format of DST, when its name does not say it.")
@click.option("--compress", is_flag=True, help="Compress a new qcow2 with zstd while it is written.")
@click.option("--verify", is_flag=True, help="Read DST again afterwards and compare the roots.")
@source_options
def copy_command(out: Output, source: str, target: str, **given: Any) -> None:
    """Make DST read as SRC does: zeros are not moved, every byte is proven on the way.

    A copy that was interrupted in any way goes on where it stopped when the same command is given again.
    """
    from vmferry.cli.disk.source import SourceChoice
    from vmferry.cli.runs import run_job
    from vmferry.engine.location import parse_target

    if given["dirty"] and not given["parent"]:
        raise BadInput(
            "--dirty copies changes, but not what they are changes to", fix="name the proofs it stands on: --parent"
        )
    names = ("format_name", "trust_backing", "tls_ca", "no_tls_verify", "headers")
    choice = SourceChoice(source, **{name: given[name] for name in names})
    wanted, secrets = choice.resolve()
    destination = parse_target(target, format_name=given["target_format"], options={"compress": given["compress"]})
    params = {"source": _absolute(wanted.to_json()), "target": _absolute(destination.to_json()), **_params(given)}
    result = run_job(
        "copy", params, directory=given["job_dir"], name=(params["source"]["address"], params["target"]["address"]),
        label="copy", secrets=secrets,
    )  # fmt: skip
    if given["verify"]:
        result = {**result, "verified": _verify(destination.to_json(), str(result["root"]), int(result["size_bytes"]))}
    out.result(result, _text(result))


def _params(given: dict[str, Any]) -> dict[str, Any]:
    rate = parse_rate(given["rate"], field="--rate") if given["rate"] else None
    return {
        "workers": given["workers"],
        "rate": rate,
        "since": given["dirty"],
        "parent": [str(path.absolute()) for path in given["parent"]],
        "proof": str(given["proof_path"].absolute()) if given["proof_path"] else None,
    }


def _absolute(spec: dict[str, Any]) -> dict[str, Any]:
    """Make paths absolute, so that the job means the same from any directory."""
    if "://" not in spec["address"]:
        spec["address"] = str(Path(spec["address"]).absolute())
    return spec


def _verify(target: dict[str, Any], root: str, size_bytes: int) -> bool:
    from contextlib import closing

    from vmferry.engine.endpoint import EndpointSpec
    from vmferry.engine.endpoints import open_source
    from vmferry.engine.endpoints.sized import Sized
    from vmferry.engine.pump import measure

    options = {key: value for key, value in target["options"].items() if key != "create"}
    with closing(open_source(EndpointSpec.from_json({**target, "options": options}))) as written:
        found = measure(Sized(written, size_bytes)).root
    if found != root:
        raise ProofMismatch(
            f"{target['address']} reads as {found}, the source as {root}", fix="check the target's hardware"
        )
    return True


def _text(result: Any) -> list[str]:
    lines = [
        f"copied {format_bytes(result['size_bytes'])} in {format_seconds(result['seconds'])}:"
        f" {format_bytes(result['read_bytes'])} read, {format_bytes(result['written_bytes'])} written",
        f"  root {result['root']}",
    ]
    if result["resumed_bytes"]:
        lines.insert(1, f"  went on from {format_bytes(result['resumed_bytes'])} done before")
    return [*lines, "  read back: equal"] if result.get("verified") else lines
