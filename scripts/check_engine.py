"""Fails when the engine imports or evaluates what not every Python since 3.9 has.

The engine is shipped as one file to machines that have nothing but python3, so one import too many
breaks it there and nowhere else. One exception, see docs/adr/0001: `endpoints/imageio.py` may import
`ovirt_imageio`, inside a function. Vermin finds newer syntax and newer functions, but not an `int | None`
that is evaluated; that is found here.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ADDED_SINCE_39 = frozenset({"tomllib", "annotationlib", "compression"})

# Gone in 3.10 to 3.13 (PEP 594 and others): a newer Python has them no more.
GONE_SINCE_39 = frozenset(
    {
        "aifc",
        "asynchat",
        "asyncore",
        "audioop",
        "binhex",
        "cgi",
        "cgitb",
        "chunk",
        "crypt",
        "distutils",
        "formatter",
        "imghdr",
        "imp",
        "lib2to3",
        "mailcap",
        "msilib",
        "nis",
        "nntplib",
        "ossaudiodev",
        "parser",
        "pipes",
        "smtpd",
        "sndhdr",
        "spwd",
        "sunau",
        "symbol",
        "telnetlib",
        "uu",
        "xdrlib",
    }
)

STANDARD = sys.stdlib_module_names - ADDED_SINCE_39 - GONE_SINCE_39

# The package's root travels with the engine: it holds the version and nothing else.
OWN = frozenset({"vmferry", "vmferry.engine", "vmferry.__version__"})

LAZY = {"endpoints/imageio.py": "ovirt_imageio"}


class Import(NamedTuple):
    """One import statement's module."""

    line: int
    module: str
    lazy: bool
    """True inside a function: it happens when the function runs."""


def find_imports(node: ast.AST, *, lazy: bool = False) -> Iterator[Import]:
    """All imports below `node`; those for the type checker alone are none."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, alias.name, lazy) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        names = [f"vmferry.{alias.name}" for alias in node.names] if module == "vmferry" else [module]
        yield from (Import(node.lineno, name, lazy) for name in names)
    inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from find_imports(child, lazy=inside)


def is_allowed(found: Import, path_in_engine: str) -> bool:
    """True for the engine itself, the standard library, and the one lazy import."""
    top = found.module.partition(".")[0]
    if found.module in OWN or found.module.startswith("vmferry.engine."):
        return True
    return top in STANDARD or (found.lazy and LAZY.get(path_in_engine) == top)


def drop_annotations(tree: ast.Module) -> None:
    """Take out what `from __future__ import annotations` keeps from being evaluated."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant("")


def is_type(node: ast.expr) -> bool:
    """True for `None`, and for a name of a built-in type, with or without its parameters."""
    if isinstance(node, ast.Subscript):
        return is_type(node.value)
    if isinstance(node, ast.Constant):
        return node.value is None
    return isinstance(node, ast.Name) and isinstance(getattr(builtins, node.id, None), type)


def find_unions(tree: ast.Module) -> Iterator[int]:
    """Lines where a union of types is evaluated."""
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        drop_annotations(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.BitOr)
            and (is_type(node.left) or is_type(node.right))
        ):
            yield node.lineno


def find_faults(engine: Path) -> Iterator[str]:
    """One line per import that must not be, and per union that is evaluated."""
    for path in sorted(engine.rglob("*.py")):
        tree = ast.parse(path.read_text(), str(path))
        for found in find_imports(tree):
            if not is_allowed(found, path.relative_to(engine).as_posix()):
                yield f"{path}:{found.line}: imports {found.module}, which a host with only Python 3.9 lacks"
        for line in find_unions(tree):
            yield f"{path}:{line}: evaluates a union with |, which Python 3.9 cannot; write Optional[] or Union[]"


def main() -> int:
    """Check the directory that is named on the command line."""
    faults = list(find_faults(Path(sys.argv[1])))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
