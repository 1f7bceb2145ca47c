# SPDX-License-Identifier: Apache-2.0
"""One event, from its bytes to what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from upload_event.airflow import Airflow
from upload_event.cloud import Cloud
from upload_event.event import Upload, read_event
from upload_event.identity import run_id
from upload_event.settings import Settings, read_settings


def handle(config: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Start the run that an event asks for, if it asks for one."""
    settings = read_settings(config)
    upload = read_event(body)
    if upload is None:
        return {"status": "ignored", "why": "not an upload"}
    if not settings.wants(upload.name):
        return {"status": "ignored", "why": "not a disk image by its name", "object": upload.name}
    etag = _cloud(settings).etag_of(upload)
    if etag is None:
        return {"status": "ignored", "why": "the object is gone", "object": upload.name}
    return _start(settings, upload, etag)


def _start(settings: Settings, upload: Upload, etag: str) -> dict[str, str]:
    airflow = _airflow(settings)
    airflow.require_running(settings.dag_id)
    name = run_id(upload.namespace, upload.bucket, upload.name, etag)
    conf = {"namespace": upload.namespace, "bucket": upload.bucket, "object": upload.name, "etag": etag}
    new = airflow.start(settings.dag_id, name, conf)
    return {"status": "started" if new else "already there", "run": name, "object": upload.name}


# A function's process answers many events: what was looked up stays.
@lru_cache(maxsize=1)
def _cloud(settings: Settings) -> Cloud:
    return Cloud(settings)


@lru_cache(maxsize=1)
def _airflow(settings: Settings) -> Airflow:
    return Airflow(settings, _cloud(settings).airflow_password)
