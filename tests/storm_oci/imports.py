"""What goes on while things are killed: images are uploaded and imported, several at once, again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from lab.airflow.oci_installation import BUCKET, IMPORT, OciInstallation
from tests.storm.asking import PatientApi
from tests.storm.lanes import Lanes, Run
from tests.storm_oci.images import Image

from vmferry.operations.disk_import.uploads import run_id
from vmferry.platforms.oci.objects import ObjectRef

_EVENT_S = 45.0
"""So long an event may take: longer than its three tries."""


class Imports(Lanes):
    """Keeps so many imports going."""

    def __init__(
        self, installed: OciInstallation, api: PatientApi, images: Sequence[Image], lanes: int, name: str, seed: str
    ) -> None:
        super().__init__(api, map(str, range(lanes)), name)
        self.image_of: dict[str, Image] = {}
        """What was uploaded, by the name of the object."""
        self._installed = installed
        self._images = tuple(images)
        self._dice = random.Random(seed)

    def fill(self, lane: str) -> Run | None:
        """Begin the next import."""
        return self.import_next()

    def import_next(self) -> Run:
        """Upload an image; its event starts its run. Where Airflow was away we do, as the search for uploads would.

        Not both at once: of two that start a run in Airflow 3.3.2 over SQLite one waits until SQLite gives up.
        """
        image = self._images[len(self.runs) % len(self._images)]
        name = f"{self._name}-{len(self.runs) + 1:03}.{image.suffix}"
        self.image_of[name] = image
        keep = self._dice.choice(("true", "false"))
        etag = self._installed.upload(name, image.path, backup_policy="silver", keep_object=keep, team="storm")
        ref = ObjectRef(self._installed.lab.namespace, BUCKET, name, etag)
        conf = {"namespace": ref.namespace, "bucket": ref.bucket, "object": ref.name, "etag": ref.etag}
        deadline = time.monotonic() + _EVENT_S
        while time.monotonic() < deadline and not self._api.has_run(IMPORT, run_id(ref)):
            time.sleep(1.0)
        return self.start_run(IMPORT, name, conf, run_id(ref))
