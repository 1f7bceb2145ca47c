"""Writes terraform/oci/provider-schema.json: what the provider takes, for the resources and data sources of our stack.

The schema is the provider's own, as the `pulumi-oci` package carries it: version 4.0.0 of that is version 8.0.0 of the
provider. Install it beside the others, run this after using a new resource, and look at what changed:
``python scripts/terraform_schema.py``.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STACK = Path(__file__).resolve().parent.parent / "terraform" / "oci"
OUTPUT = STACK / "provider-schema.json"
PROVIDER = "8.0.0"
USED = re.compile(r'^(resource|data)\s+"oci_([a-z0-9]+)_(\w+)"', re.MULTILINE)
NESTED = re.compile(r"'(?:_[a-z]+\.)?(\w+Args)'")

KINDS = ("Mapping", "Sequence", "bool", "int", "float", "str")

Arguments = dict[str, Any]
"""Argument -> {"required": bool, "kind": one of KINDS, "block": Arguments or absent}."""


def main() -> int:
    """Write the file."""
    found = find_spec("pulumi_oci")
    if found is None or found.origin is None:
        print("install pulumi-oci==4.0.0 first, in a scratch environment: it is 150 MB", file=sys.stderr)
        return 2
    package = Path(found.origin).parent
    text = "\n".join(path.read_text() for path in sorted(STACK.glob("*.tf")))
    schema: dict[str, Arguments] = {}
    for kind, service, name in sorted(set(USED.findall(text))):
        key = f"{kind}.oci_{service}_{name}"
        schema[key] = resource(package, service, name) if kind == "resource" else data(package, service, name)
    OUTPUT.write_text(json.dumps({"provider": PROVIDER, "schema": schema}, indent=1, sort_keys=True) + "\n")
    print(f"{len(schema)} schemas in {OUTPUT.name}")
    return 0


def resource(package: Path, service: str, name: str) -> Arguments:
    """Give the arguments of a resource."""
    room = _room(package, service)
    module, cls = _class_of(room, service, name)
    classes = _classes(module)
    arguments = classes.get(f"{cls}Args") or classes.get(f"{cls}InitArgs")
    if arguments is None:
        raise LookupError(f"no arguments of {cls} in {module}")
    return _arguments(arguments, room / "_inputs.py", ())


def data(package: Path, service: str, name: str) -> Arguments:
    """Give the arguments of a data source: those of the function that asks for it."""
    room = _room(package, service)
    module = next((room / one for one in (f"get_{name}.py", f"get_{name}s.py") if (room / one).is_file()), None)
    if module is None:
        raise LookupError(f"no data source {name} in {room}")
    function = next(
        node for node in _tree(module).body if isinstance(node, ast.FunctionDef) and node.name == module.stem
    )
    return _from_signature(function, room / "_inputs.py", (), skip=("opts",))


def _room(package: Path, service: str) -> Path:
    return next(path for path in package.iterdir() if path.name.replace("_", "") == service and path.is_dir())


def _class_of(room: Path, service: str, name: str) -> tuple[Path, str]:
    for module in sorted(room.glob("*.py")):
        if module.name.startswith(("_", "get_")):
            continue
        for _, cls in re.findall(r"'oci:\w+/(\w+):(\w+)'", module.read_text()):
            if _snake(cls) == name:
                return module, cls
    raise LookupError(f"no resource oci_{service}_{name}")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


@cache
def _classes(module: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(module).body if isinstance(node, ast.ClassDef)}


def _arguments(cls: ast.ClassDef, inputs: Path, seen: tuple[str, ...]) -> Arguments:
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return _from_signature(init, inputs, (*seen, cls.name))


def _from_signature(
    function: ast.FunctionDef, inputs: Path, seen: tuple[str, ...], skip: tuple[str, ...] = ()
) -> Arguments:
    named = [*zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    plain = [one for one in function.args.args if one.arg not in ("self", "__self__", "resource_name")]
    defaults = [None] * (len(plain) - len(function.args.defaults)) + list(function.args.defaults)
    found: Arguments = {}
    for argument, default in [*named, *zip(plain, defaults, strict=True)]:
        if argument.arg in skip or argument.annotation is None:
            continue
        said = ast.unparse(argument.annotation)
        entry: Arguments = {"required": default is None and bool(named), "kind": _kind_of(said)}
        nested = NESTED.search(said)
        if nested and nested.group(1) not in seen and nested.group(1) in _classes(inputs):
            entry["block"] = _arguments(_classes(inputs)[nested.group(1)], inputs, seen)
        found[argument.arg] = entry
    return found


def _kind_of(annotation: str) -> str:
    return next((kind for kind in KINDS if re.search(rf"\b{kind}\b", annotation)), "any")


if __name__ == "__main__":
    sys.exit(main())
