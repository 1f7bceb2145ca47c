"""Fails when Dockerfile, docker-compose.yaml and .env.example do not fit together, or are less safe than they should.

That docker-compose.yaml is well formed is checked by its schema, before this; here are our own rules.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.check_dockerfile import check_dockerfile

COMPOSE = "docker-compose.yaml"
EXAMPLE = ".env.example"
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_][A-Z0-9_]*)(?P<how>:[-?])?(?P<rest>[^}]*)\}")
SETTING = re.compile(r"^(?P<off>#?)(?P<name>[A-Z_][A-Z0-9_]*)=(?P<value>.*)$", re.MULTILINE)
SECRET = re.compile(r"PASSWORD|SECRET|(?:^|_)KEY(?:$|_)|TOKEN")
LOGIN = re.compile(r"://[^/@:\s]*:[^/@\s]+@")
COMPOSES_OWN = {"COMPOSE_PROFILES"}


def load_compose(path: Path) -> dict[str, Any]:
    """Read a compose file, its anchors and merges resolved."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Give what a service has in its environment, as it is written."""
    return {str(name): str(value) for name, value in (service.get("environment") or {}).items()}


def check_variables(compose: str, example: str) -> Iterator[str]:
    """Every variable is explained in .env.example, with the value that it has when it is not set."""
    settings = {one["name"]: one for one in SETTING.finditer(example)}
    used = {one["name"] for one in VARIABLE.finditer(compose)}
    for one in VARIABLE.finditer(compose):
        name, default = one["name"], one["rest"]
        if name not in settings:
            yield f"{COMPOSE}: ${{{name}}} is not in {EXAMPLE}"
        elif one["how"] == ":?":
            if not default:
                yield f"{COMPOSE}: ${{{name}:?}} does not say what to do"
            if settings[name]["off"] or settings[name]["value"]:
                yield f"{EXAMPLE}: {name} has to be filled in, so it stands there without # and without a value"
        elif one["how"] is None:
            yield f"{COMPOSE}: ${{{name}}} has neither a default nor a word about what to do when it is missing"
        elif default not in {found["value"] for found in SETTING.finditer(example) if found["name"] == name}:
            yield f"{EXAMPLE}: {name} has not the value that {COMPOSE} has without it: {default}"
    for name in sorted(settings.keys() - used - COMPOSES_OWN):
        yield f"{EXAMPLE}: {name} is not used in {COMPOSE}"


def check_secrets(compose: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """No secret stands in the file, has a default, or is an argument of a program."""
    for one in VARIABLE.finditer(compose):
        if SECRET.search(one["name"]) and one["how"] != ":?":
            yield f"{COMPOSE}: the secret ${{{one['name']}}} must be given: ${{{one['name']}:?say what to do}}"
    for name, service in services.items():
        for key, value in environment_of(service).items():
            literal = VARIABLE.sub("", value)
            if (SECRET.search(key) and literal) or LOGIN.search(VARIABLE.sub("", value)):
                yield f"{COMPOSE}: {name}: {key} has a secret in it"
        for word in _words(service.get("command")) + _words(service.get("entrypoint")):
            if any(SECRET.search(one["name"]) for one in VARIABLE.finditer(word)):
                yield f"{COMPOSE}: {name}: a secret in its command can be read in the list of processes"


def check_service(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    """A service is looked after, pinned and has no right that it does not need."""
    said = f"{COMPOSE}: {name}"
    image = VARIABLE.sub(lambda one: one["rest"], str(service.get("image", "")))
    if not re.search(r"(?::(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", image):
        yield f"{said}: image {image or '(none)'} has no fixed version"
    user = VARIABLE.sub(lambda one: one["rest"], str(service.get("user", "root")))
    if user.partition(":")[0] in {"", "0", "root"}:
        yield f"{said}: runs as root"
    health = service.get("healthcheck") or {}
    ends = str(service.get("restart", "")).startswith(("on-failure", "no"))
    if not (health.get("test") or (health.get("disable") and ends)):
        yield f"{said}: has no health check"
    if "restart" not in service:
        yield f"{said}: has no restart policy"
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in (service.get("security_opt") or ()):
        yield f"{said}: has not given up its privileges (cap_drop, security_opt)"
    yield from (
        f"{said}: {right} is not needed" for right in ("privileged", "devices", "cap_add") if service.get(right)
    )


def check_tree(root: Path) -> list[str]:
    """Give all that is wrong in a checkout."""
    compose, example = (root / COMPOSE).read_text(), (root / EXAMPLE).read_text()
    services = load_compose(root / COMPOSE)["services"]
    faults = [*check_variables(compose, example), *check_secrets(compose, services)]
    for name, service in services.items():
        faults += check_service(name, service)
    return [*faults, *check_dockerfile(root)]


def _words(command: Any) -> list[str]:
    if command is None:
        return []
    return [command] if isinstance(command, str) else [str(word) for word in command]


def main() -> int:
    """Check the checkout we are in."""
    faults = check_tree(Path.cwd())
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
