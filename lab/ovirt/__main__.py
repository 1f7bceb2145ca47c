"""Runs one simulated site: ``python -m lab.ovirt --dir DIR``; prints one JSON line, ends with its parent."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from lab.ovirt.lab import OvirtLab


def main() -> None:
    """Start it and wait for a signal, or for the end of whoever started us."""
    parser = argparse.ArgumentParser(prog="python -m lab.ovirt", description="A simulated oVirt site on loopback.")
    parser.add_argument("--dir", type=Path, required=True, help="where the site's disks and state lie")
    parser.add_argument("--name", default="prod", help="names its host and its storage domain")
    parser.add_argument("--port", type=int, default=0, help="of the engine; 0: any that is free")
    parser.add_argument("--version", default="4.5.5", help="of the engine it plays, e.g. 4.4.10, 4.3.10")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds that each phase lasts")
    parser.add_argument("--local-imageio", action="store_true", help="offer clients imageio's unix socket too")
    options = parser.parse_args()
    parent, stop = os.getppid(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = {"version": options.version, "delay": options.delay}
    with OvirtLab(options.dir, options.name, port=options.port, local_imageio=options.local_imageio, **settings) as lab:
        line = {
            "name": lab.name, "url": lab.url, "user": lab.user, "password": lab.password_secret, "ca": str(lab.ca),
            "fingerprint": lab.fingerprint, "simulator": True,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        while not stop.wait(0.2) and os.getppid() == parent:
            pass


if __name__ == "__main__":
    main()
