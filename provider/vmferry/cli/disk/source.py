# SPDX-License-Identifier: Apache-2.0
"""Turns the options about a source into its spec and its secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import BadInput


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """What the user said about the source."""

    text: str
    format_name: str | None
    trust_backing: bool
    tls_ca: Path | None
    no_tls_verify: bool
    headers: TextIO | Mapping[str, str] | None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source that the command itself sets."""

    def resolve(self) -> tuple[EndpointSpec, dict[str, str]]:
        """Give the spec and the secrets; raises what is wrong with the source. Call it once: it reads the headers."""
        from vmferry.engine.location import parse_source

        options: dict[str, Any] = dict(self.more)
        if self.trust_backing:
            options["backing"] = "trust"
        if self.tls_ca:
            options["tls_ca"] = str(self.tls_ca.absolute())
        if self.no_tls_verify:
            options["tls_verify"] = False
        secrets = self._secrets()
        # What follows the question mark of a pre-signed URL is a key: it must not get into job.json.
        place = self.text.partition("?")[0] if "url" in secrets else self.text
        return parse_source(place, format_name=self.format_name, options=options, secrets=secrets), secrets

    def _secrets(self) -> dict[str, str]:
        """Headers and pre-signed URLs: they never reach a file or a log."""
        secrets = {}
        if self.text.startswith(("http://", "https://")) and "?" in self.text:
            secrets["url"] = self.text
        headers = self.headers if isinstance(self.headers, Mapping) else read_headers(self.headers)
        if headers:
            secrets["headers"] = json.dumps(dict(headers))
        return secrets


def read_headers(file: TextIO | None) -> dict[str, str]:
    """Read 'Name: value', one a line."""
    return dict(_read_header(line) for line in file if line.strip()) if file is not None else {}


def _read_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadInput("a line of the headers has no colon", fix="write 'Name: value', one a line")
    return name.strip(), value.strip()
