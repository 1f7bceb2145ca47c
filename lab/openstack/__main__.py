"""``python -m lab.openstack up | down | status``: a real OpenStack on this machine. Run it as root."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lab.openstack import guests, lab
from lab.openstack.place import LabError, Place, default_root

_BEGAN = time.monotonic()


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lab.openstack", description=__doc__)
    parser.add_argument("what", choices=("up", "down", "status", "host-image"))
    parser.add_argument("--root", type=Path, default=default_root(), help="its directory (default: %(default)s)")
    parser.add_argument("--purge", action="store_true", help="with down: remove that directory too")
    options = parser.parse_args()
    place = Place(options.root.resolve())
    try:
        return _do(place, options.what, purge=options.purge)
    except LabError as error:
        print(f"openstack: {error}", file=sys.stderr)
        return 1


def _do(place: Place, what: str, *, purge: bool) -> int:
    if what == "up":
        lab.up(place, _say)
        _say(f"up; clouds admin, source and destination: export OS_CLIENT_CONFIG_FILE={place.clouds}")
    elif what == "down":
        lab.down(place, _say, purge=purge)
    elif what == "host-image":
        _say(str(guests.build_host(place)))
    else:
        print("\n".join(lab.status(place)))
        wrong = lab.missing(place)
        print(wrong or "ready")
        return 1 if wrong else 0
    return 0


def _say(text: str) -> None:
    print(f"openstack: [{time.monotonic() - _BEGAN:4.0f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
