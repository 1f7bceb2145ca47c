"""Runs the demo, ``python -m lab.demo``, that of an upload to OCI, ``… oci``, or two oVirt sites alone, ``… sites``."""

import sys
from pathlib import Path

from lab.keeper import keep

LINK = Path(__file__).resolve().parents[2] / "build" / "lab"

if __name__ == "__main__":
    if sys.argv[1:] == ["sites"]:
        sys.exit(keep("lab.demo.sites", str(LINK), link=LINK))
    sys.exit(keep("lab.demo.oci" if sys.argv[1:] == ["oci"] else "lab.demo.product"))
