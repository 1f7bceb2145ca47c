# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy secure``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vmferry.cli.output import Output, command
from vmferry.cli.policy.group import file_argument, policy
from vmferry.engine.errors import BadInput


@command(
    policy,
    "secure",
    example="vmferry policy secure variables.json --connections connections.json\n"
    "airflow connections import connections.json && rm connections.json",
)
@file_argument
@click.option("--connections", required=True, type=click.Path(path_type=Path, dir_okay=False),
              help="Where the connections go, passwords included (mode 0600; must not be there yet).")  # fmt: skip
def secure_command(out: Output, file: Path, connections: Path) -> None:
    """Move the passwords out of a policy into a file for `airflow connections import`. All else stays as it is."""
    from vmferry.policy.secure import as_connections_file, secure

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {error}", fix="name the file of the policy") from error
    secured = secure(text)
    names = [one.conn_id for one in secured.connections]
    if names:
        _create(connections, as_connections_file(secured.connections))
        _replace(file, secured.text)
    lines = [f"{name}: its password is now in {connections}" for name in names] or [f"{file} holds no password"]
    if names:
        lines.append(f"next: airflow connections import {connections} && rm {connections}")
    out.result({"connections": names, "file": str(connections) if names else None}, lines)


def _create(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"{path} is there already", fix="name a new file") from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        os.fsync(fd)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)
