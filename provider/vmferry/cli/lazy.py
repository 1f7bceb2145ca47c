# SPDX-License-Identifier: Apache-2.0
"""A group of commands whose modules are imported when they are needed: a backup does not pay for the other commands."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Knows its commands' names and where they are; a module, once imported, adds its command to the group."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all names, imported or not."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module if need be."""
        if cmd_name not in self._modules:
            return None
        module = importlib.import_module(self._modules[cmd_name])
        found = self.commands.get(cmd_name) or getattr(module, cmd_name)
        if not isinstance(found, click.Command):
            raise TypeError(f"{self._modules[cmd_name]} has no command {cmd_name}")
        return found
