"""Runs one simulated site: ``python -m lab.oci --dir DIR``; prints one JSON line, ends with its parent."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from lab.oci.lab import OciLab


def main() -> None:
    """Start it and wait for a signal, or for the end of whoever started us."""
    parser = argparse.ArgumentParser(prog="python -m lab.oci", description="A simulated Oracle Cloud on loopback.")
    parser.add_argument("--dir", type=Path, required=True, help="where the site's volumes, objects and state lie")
    parser.add_argument("--port", type=int, default=0, help="of the API; 0: any that is free")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds that each state lasts")
    options = parser.parse_args()
    parent, stop = os.getppid(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with OciLab(options.dir, port=options.port, delay=options.delay) as lab:
        line = {
            "endpoint": lab.endpoint, "config": lab.config, "ca": str(lab.ca), "compartment": lab.compartment,
            "namespace": lab.namespace, "subnet": lab.subnet, "image": lab.image, "domains": lab.domains,
            "simulator": True,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        while not stop.wait(0.2) and os.getppid() == parent:
            pass


if __name__ == "__main__":
    main()
