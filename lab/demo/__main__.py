"""Runs the demo, ``python -m lab.demo``, or only its two sites, ``python -m lab.demo sites``."""

import sys
from pathlib import Path

from lab.keeper import keep

LINK = Path(__file__).resolve().parents[2] / "build" / "lab"

if __name__ == "__main__":
    sys.exit(keep("lab.demo.sites", str(LINK), link=LINK) if sys.argv[1:] == ["sites"] else keep("lab.demo.product"))
