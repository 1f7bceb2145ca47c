"""Runs the simulated engine as a process of its own: ``python -m lab.ovirt.process``, started by the lab.

Its settings and the password come on standard input as one JSON line. It prints its port when it answers.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from lab.ovirt.clock import Clock
from lab.ovirt.engine import Engine, Settings
from lab.ovirt.flows import STEPS
from lab.ovirt.flows.backups import recover_backups
from lab.ovirt.server import HttpsServer
from lab.ovirt.setting_up import set_up
from lab.pki import Certificate


def main() -> None:
    """Serve until terminated."""
    wish: dict[str, Any] = json.loads(sys.stdin.readline())
    paths = {name: Path(wish[name]) for name in ("directory", "run", "ca", "imageio_control")}
    engine = Engine(Settings(name=wish["name"], imageio_port=wish["imageio_port"], **paths))
    set_up(engine, wish["password"], wish["settings"])
    recover_backups(engine)
    _resume(engine)
    engine.save()
    certificate = Certificate(paths["ca"], Path(wish["cert"]), Path(wish["key"]))
    server = HttpsServer(engine, certificate.server_context(), wish["port"])
    Clock(engine, STEPS).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever(0.1)


def _resume(engine: Engine) -> None:
    """Whatever waits for its next phase does so again; polls of transfers go on."""
    for transfer in engine.inventory.transfers.values():
        if transfer.phase == "transferring":
            transfer.due = max(transfer.due, 1.0)


if __name__ == "__main__":
    main()
