# SPDX-License-Identifier: Apache-2.0
"""Turns the options about a source into its spec and its secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    headers: TextIO | None

    def spec(self) -> EndpointSpec:
        """Give the spec; raises what is wrong with the source."""
        from vmferry.engine.location import parse_source

        options: dict[str, Any] = {}
        if self.trust_backing:
            options["backing"] = "trust"
        if self.tls_ca:
            options["tls_ca"] = str(self.tls_ca.absolute())
        if self.no_tls_verify:
            options["tls_verify"] = False
        return parse_source(self.text, format_name=self.format_name, options=options)

    def secrets(self) -> dict[str, str]:
        """Give the secrets: headers never reach a file, a log or the command line."""
        if self.headers is None:
            return {}
        pairs = {}
        for line in filter(None, (one.strip() for one in self.headers)):
            name, colon, value = line.partition(":")
            if not colon:
                raise BadInput("a line of the headers has no colon", fix="write 'Name: value', one a line")
            pairs[name.strip()] = value.strip()
        return {"headers": json.dumps(pairs)}
