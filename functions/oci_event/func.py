# SPDX-License-Identifier: Apache-2.0
"""OCI Function: an object was uploaded to a bucket, so a run of the import DAG is started in Airflow, once.

All that goes wrong is raised: the platform then sees a failed call, and can try again or put the event aside.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fdk import response
from upload_event.handling import handle

# fdk sets the root logger to DEBUG, and the SDK then logs whole requests.
for name in ("oci", "urllib3"):
    logging.getLogger(name).setLevel(logging.WARNING)


def handler(ctx: Any, data: io.BytesIO | None = None) -> response.Response:
    """Answer one event with what was done about it."""
    done = handle(dict(ctx.Config()), data.getvalue() if data else b"")
    logging.getLogger("vmferry").info("%s", json.dumps(done, sort_keys=True))
    return response.Response(ctx, response_data=json.dumps(done), headers={"Content-Type": "application/json"})
