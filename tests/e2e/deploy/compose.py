"""Reads docker-compose.yaml as Compose does, as far as it uses it: variables, defaults, environment, command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.check_deployment import COMPOSE, SETTING, VARIABLE, load_compose


class Compose:
    """The services of the file, with the values of a .env."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        self._services: dict[str, Any] = load_compose(root / COMPOSE)["services"]
        self.settings = dict(settings)

    def environment(self, service: str) -> dict[str, str]:
        """Give what a service has in its environment."""
        return {name: self.fill_in(str(value)) for name, value in self._services[service]["environment"].items()}

    def command(self, service: str) -> list[str]:
        """Give what a service runs."""
        return [self.fill_in(word) for word in self._services[service]["command"]]

    def health_check(self, service: str) -> list[str]:
        """Give the command that tells whether it is well."""
        kind, *command = self._services[service]["healthcheck"]["test"]
        if kind != "CMD":
            raise ValueError(f"{service}: {kind} is not for here")
        return [self.fill_in(word) for word in command]

    def fill_in(self, text: str) -> str:
        """Put the values in; one that has to be given and is not is an error."""
        return VARIABLE.sub(lambda found: self._value(found["name"], found["how"], found["rest"]), text)

    def _value(self, name: str, how: str, rest: str) -> str:
        value = self.settings.get(name, "")
        if value or how == ":-":
            return value or rest
        raise ValueError(f"{name}: {rest}")


def read_settings(path: Path) -> dict[str, str]:
    """Read a .env."""
    return {found["name"]: found["value"] for found in SETTING.finditer(path.read_text()) if not found["off"]}
