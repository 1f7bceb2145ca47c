"""Makes a block volume of a disk image that was uploaded to a bucket; the bucket's event starts it."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from vmferry.workflows.defaults import START, default_args
from vmferry.workflows.disk_import import import_steps

with DAG(
    "oci_disk_import",
    description="An uploaded disk image becomes a block volume whose bytes are proven",
    schedule=None,
    start_date=START,
    catchup=False,
    max_active_runs=8,
    is_paused_upon_creation=False,
    tags=["vmferry", "import", "oci"],
    default_args=default_args(),
    params={
        "namespace": Param("", type="string", minLength=1, title="Namespace", description="Of Object Storage"),
        "bucket": Param("", type="string", minLength=1, title="Bucket"),
        "object": Param("", type="string", minLength=1, maxLength=1024, title="Object", description="Its whole name"),
        "etag": Param("", type="string", title="ETag", description="Which version; the one that is there when empty"),
    },
) as dag:
    import_steps()
