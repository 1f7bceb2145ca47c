"""Imports every module of a package, under whichever Python runs this, and fails where one cannot be.

Needs nothing but the standard library of Python 3.9.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys


def main() -> int:
    """Import the package that is named on the command line, and all below it; the start of a program is left alone."""
    package = importlib.import_module(sys.argv[1])
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{sys.argv[1]}.")]
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    print(f"{len(names)} modules of {sys.argv[1]} import under Python {sys.version.split()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
