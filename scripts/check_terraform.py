"""Checks the Terraform stack offline: arguments against the provider's own schema, references, IAM, what must not be.

``terraform validate`` needs the provider, and so the network; this needs neither. With ``terraform`` on PATH the layout
of the files is checked too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.terraform_stack import Block, Body, Stack, bare, is_block

STACK = Path(__file__).resolve().parent.parent / "terraform" / "oci"
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "timeouts", "dynamic"}
EVERYWHERE = ("0.0.0.0/0", "::/0")
FITS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str, int, float, bool),
    "Sequence": (list,),
    "Mapping": (dict,),
}
REFERENCE = re.compile(r"(?<![\w.\"'/-])(data\.)?(oci_[a-z0-9_]+)\.([A-Za-z_][\w-]*)")
WIDE = re.compile(r"\b(all-resources|manage\s+\S+\s+in\s+tenancy|any-user|any-group)\b", re.IGNORECASE)
STATEMENT = re.compile(r"^allow \S.* to (inspect|read|use|manage) \S+ in (tenancy|compartment id) ?\S*( where .+)?$")


def main(directory: Path = STACK) -> int:
    """Print every fault."""
    stack = Stack(directory)
    found = [fault for rule in RULES for fault in rule(stack)] + list(_layout(directory))
    for fault in found:
        print(fault)
    if not found:
        formatted = "" if shutil.which("terraform") else "; no terraform here to judge the layout"
        print(f"{len(stack.blocks)} resources and data sources{formatted}")
    return 1 if found else 0


def arguments(stack: Stack) -> Iterator[str]:
    """Every argument is one the provider knows, and those it needs are there."""
    for block in stack.blocks:
        known = stack.schema.get(f"{block.mode}.{block.type}")
        if known is None:
            yield f"{block.where}: no schema of this type; is it spelled right? (then: scripts/terraform_schema.py)"
        else:
            yield from _body(block.where, block.body, known)


def _body(where: str, body: Body, known: dict[str, Any]) -> Iterator[str]:
    given: set[str] = set()
    for name, value, block in _said(body):
        found = _find(name, known, block)
        if found is None:
            yield f"{where}: the provider knows no {'block' if block else 'argument'} {name!r}"
            continue
        given.add(found)
        nested = known[found].get("block")
        if block and nested is None and known[found]["kind"] != "Mapping":
            yield f"{where}: {name!r} is an argument, not a block"
        elif block and nested is not None:
            for one in value:
                yield from _body(f"{where}.{name}", one, nested)
        elif not block:
            yield from _value(f"{where}.{name}", value, known[found]["kind"])
    for name, entry in known.items():
        if entry["required"] and name not in given:
            yield f"{where}: lacks {name!r}"


def _said(body: Body) -> Iterator[tuple[str, Any, bool]]:
    """Give what a body says: name, value, whether it is a block. Dynamic blocks count as what they make."""
    for name, value in body.items():
        if name == "dynamic":
            for made in value:
                for label, inside in made.items():
                    if not label.startswith("__"):
                        yield bare(label), inside["content"], True
        elif bare(name) not in META and not name.startswith("__"):
            yield bare(name), value, is_block(value)


def _find(name: str, known: dict[str, Any], block: bool) -> str | None:
    """Blocks that may be repeated have plural names in the schema."""
    plural = (f"{name}s", f"{name}es", re.sub("y$", "ies", name)) if block else ()
    return next((one for one in (name, *plural) if one in known), None)


def _value(where: str, value: Any, kind: str) -> Iterator[str]:
    """Judge a literal. Terraform makes text of a number and a number of digits by itself, and so do we."""
    if isinstance(value, str) and "${" in value:
        return  # an expression: its type is Terraform's to judge
    literal = bare(value) if isinstance(value, str) else value
    number = kind in ("int", "float")
    digits = number and isinstance(literal, str) and re.fullmatch(r"-?\d+(\.\d+)?", literal)
    fits = isinstance(literal, FITS.get(kind, (object,))) and not (number and isinstance(literal, bool))
    if not (fits or digits):
        yield f"{where}: {literal!r} is no {kind}"


def references(stack: Stack) -> Iterator[str]:
    """What is named is there, and what is declared is used."""
    there = {(block.mode, block.type, block.name) for block in stack.blocks}
    whole = "\n".join(stack.texts.values())
    for file, text in stack.texts.items():
        for data, kind, name in REFERENCE.findall(text):
            if ("data" if data else "resource", kind, name) not in there:
                yield f"{file}: {data}{kind}.{name} is not in the stack"
        for kind, names in (("var", set(stack.variables)), ("local", stack.locals)):
            for name in sorted(set(re.findall(rf"\b{kind}\.(\w+)", text)) - names):
                yield f"{file}: {kind}.{name} is not declared"
    for kind, names in (("var", set(stack.variables)), ("local", stack.locals)):
        for name in sorted(names):
            if not re.search(rf"\b{kind}\.{name}\b", whole):
                yield f"{kind}.{name} is declared and never used"


def forbidden(stack: Stack) -> Iterator[str]:
    """Provisioners, doors open to everybody, secrets in the state file."""
    for block in stack.blocks:
        if block.type == "null_resource" or "provisioner" in block.body:
            yield f"{block.where}: no provisioners: what they did is in no plan"
        if _opens_to_everybody(block):
            yield f"{block.where}: lets everybody in; name the networks"
        if block.type == "oci_vault_secret" and "secret_content" in block.body:
            yield f"{block.where}: secret_content would be in the state file; let Vault make it"
        if block.type == "oci_objectstorage_bucket" and bare(block.body.get("access_type", "")) != "NoPublicAccess":
            yield f"{block.where}: access_type has to be NoPublicAccess"
    for name, body in stack.variables.items():
        if any(place in str(body.get("default", "")) for place in EVERYWHERE):
            yield f"variables: {name} must not stand open by default"
        if re.search(r"password|token|private_key", name):
            yield f"variables: {name} would put a secret into the state file; take the OCID of a secret"


def _opens_to_everybody(block: Block) -> bool:
    rules = block.body.get("ingress_security_rules", [])
    sources = [rule.get("source", "") for rule in rules]
    if bare(block.body.get("direction", "")) == "INGRESS":
        sources.append(block.body.get("source", ""))
    return any(bare(str(source)) in EVERYWHERE for source in sources)


def policies(stack: Stack) -> Iterator[str]:
    """IAM statements: readable, and no wider than a compartment."""
    for block in stack.blocks:
        if block.type != "oci_identity_policy":
            continue
        for said in block.body.get("statements", []):
            statement = re.sub(r"\$\{[^}]*in_\w+\}", "in compartment id X", bare(said))
            statement = re.sub(r"\$\{[^}]*\}", "X", statement)
            if not STATEMENT.match(statement):
                yield f"{block.where}: cannot read the statement {bare(said)!r}"
            if WIDE.search(statement):
                yield f"{block.where}: too wide: {bare(said)!r}"


def pins(stack: Stack) -> Iterator[str]:
    """The provider is Oracle's own, of a known major version."""
    wanted = {
        bare(name): entry
        for _, block in stack.settings("terraform")
        for group in block.get("required_providers", [])
        for name, entry in group.items()
        if not name.startswith("__")
    }
    entry = wanted.get("oci", {})
    if bare(entry.get("source", "")) != "oracle/oci":
        yield "versions.tf: the provider's source has to be oracle/oci; hashicorp/oci is no longer kept"
    if not re.match(r"^(~>|=)?\s*\d+\.\d+", bare(entry.get("version", ""))):
        yield "versions.tf: pin the provider's version"


def inputs(stack: Stack) -> Iterator[str]:
    """The console's form and the example name the stack's variables, no others."""
    form = yaml.safe_load((stack.directory / "schema.yaml").read_text())
    grouped = [name for group in form["variableGroups"] for name in group["variables"]]
    maps = {name for name, body in stack.variables.items() if "map(" in str(body.get("type"))}  # no form has these
    for name in sorted((set(stack.variables) - maps) ^ set(form["variables"])):
        yield f"schema.yaml: {name} is in one of schema.yaml and variables.tf only"
    for name in sorted(set(form["variables"]) ^ set(grouped)):
        yield f"schema.yaml: {name} is in no group of the form, or in a group only"
    for name, entry in form["variables"].items():
        needed = "default" not in stack.variables.get(name, {"default": None})
        if bool(entry.get("required")) != needed:
            yield f"schema.yaml: {name} is {'' if needed else 'not '}required by variables.tf"
    example = (stack.directory / "terraform.auto.tfvars.example").read_text()
    for name in re.findall(r"^#? ?(\w+)\s*=", example, re.MULTILINE):
        if name not in stack.variables:
            yield f"terraform.auto.tfvars.example: {name} is no variable"


def _layout(directory: Path) -> Iterator[str]:
    terraform = shutil.which("terraform")
    if terraform is None:
        return
    done = subprocess.run([terraform, "fmt", "-check", str(directory)], capture_output=True, text=True)
    if done.returncode:
        yield f"terraform fmt would change: {' '.join(done.stdout.split()) or done.stderr[-300:]}"


RULES: tuple[Callable[[Stack], Iterator[str]], ...] = (arguments, references, forbidden, policies, pins, inputs)

if __name__ == "__main__":
    sys.exit(main())
