"""Runs the simulated site as a process of its own: ``python -m lab.oci.process``, started by the lab.

Its settings come on standard input as one JSON line. It prints its port when it answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from lab.oci import lives  # noqa: F401 - registers what happens when a state is entered
from lab.oci.api.images import add_platform_image
from lab.oci.metadata import MetadataServer
from lab.oci.model import Step
from lab.oci.principals import ApiKey
from lab.oci.server import HttpsServer
from lab.oci.site import Place, Site
from lab.pki import Certificate


def main() -> None:
    """Serve until terminated."""
    wish: dict[str, Any] = json.loads(sys.stdin.readline())
    directory = Path(wish["directory"])
    key = ApiKey(**{**wish["key"], "key_file": Path(wish["key"]["key_file"])})
    place = Place(**{**wish["place"], "directory": directory, "authority": Path(wish["ca"])})
    site = Site(place, key)
    site.settings.update(wish["settings"])
    if not any(site.inventory.all("image")):
        add_platform_image(site)
    metadata = MetadataServer(site, wish["metadata_port"])
    certificate = Certificate(*(Path(wish[name]) for name in ("ca", "cert", "cert_key")))
    server = HttpsServer(site, certificate.server_context(), wish["port"])
    site.port, site.metadata_port = server.server_port, metadata.server_port
    threading.Thread(target=metadata.serve_forever, args=(0.1,), daemon=True).start()
    _wake(site)
    site.save()
    site.clock.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(json.dumps({"port": site.port, "metadata_port": site.metadata_port}), flush=True)
    try:
        server.serve_forever(0.1)
    finally:
        for guest in list(site.guests.values()):
            guest.kill()
        site.save()
        os._exit(0)  # calls of functions that still wait are not waited for


def _wake(site: Site) -> None:
    """Boot again what ran when the site ended: for its machines that was a loss of power."""
    for instance in site.inventory.all("instance"):
        if instance.state == "RUNNING":
            instance.follow(Step("RUNNING", 0.01))
    site.events.resume()


if __name__ == "__main__":
    main()
