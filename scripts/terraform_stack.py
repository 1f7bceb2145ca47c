"""Reads a Terraform stack's files into plain values, without Terraform and without the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hcl2

Body = Mapping[str, Any]
_COMMENT = re.compile(r"(^|\s)(#|//).*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A resource or a data source."""

    file: str
    mode: str
    type: str
    name: str
    body: Body

    @property
    def where(self) -> str:
        """Where to look, for a message."""
        return f"{self.file}: {'data.' if self.mode == 'data' else ''}{self.type}.{self.name}"


@dataclass(frozen=True)
class Stack:
    """All files of one directory."""

    directory: Path

    @cached_property
    def texts(self) -> dict[str, str]:
        """Give each file's text without its comments."""
        return {path.name: _COMMENT.sub("", path.read_text()) for path in sorted(self.directory.glob("*.tf"))}

    @cached_property
    def parsed(self) -> dict[str, Any]:
        """Give each file as hcl2 reads it."""
        return {name: hcl2.loads(text if text.endswith("\n") else text + "\n") for name, text in self.texts.items()}

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Give what the provider takes, by "resource.oci_..." and "data.oci_..."."""
        found: dict[str, Any] = json.loads((self.directory / "provider-schema.json").read_text())["schema"]
        return found

    @cached_property
    def blocks(self) -> list[Block]:
        """Give every resource and data source."""
        return [
            Block(file, mode, bare(kind), bare(name), body)
            for file, content in self.parsed.items()
            for mode in ("resource", "data")
            for entry in content.get(mode, [])
            for kind, named in entry.items()
            for name, body in named.items()
            if not name.startswith("__")
        ]

    @cached_property
    def variables(self) -> dict[str, Body]:
        """Give the stack's inputs."""
        return dict(self._named("variable"))

    @cached_property
    def locals(self) -> set[str]:
        """Give the names of its locals."""
        groups = (group for content in self.parsed.values() for group in content.get("locals", []))
        return {bare(name) for group in groups for name in group if not name.startswith("__")}

    def settings(self, name: str) -> Iterator[tuple[str, Body]]:
        """Give the unnamed blocks of one kind, with their files."""
        for file, content in self.parsed.items():
            for block in content.get(name, []):
                yield file, block

    def _named(self, kind: str) -> Iterator[tuple[str, Body]]:
        for content in self.parsed.values():
            for entry in content.get(kind, []):
                for name, body in entry.items():
                    if not name.startswith("__"):
                        yield bare(name), body


def bare(text: str) -> str:
    """Take the quotes off a name."""
    return text.strip('"')


def is_block(value: object) -> bool:
    """Whether hcl2 read this from a nested block, not from an argument."""
    return isinstance(value, list) and any(isinstance(one, dict) and "__is_block__" in one for one in value)
