"""Parses a DAG file as a task does when it starts: ``task_start.py FILE DAG``. Prints what it took, as JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import airflow.sdk.execution_time.task_runner  # noqa: F401 - what a worker has in memory by then
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager


def main(file: Path, dag_id: str) -> None:
    """Do it."""
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id="publish"):
        # What Airflow has in memory is not looked through during the parse: its LocalExecutor freezes it as well.
        gc.collect()
        gc.freeze()
        began = time.process_time()
        bag = BundleDagBag(
            dag_folder=str(file), safe_mode=False, load_op_links=False, bundle_path=file.parent, bundle_name="rendered"
        )
        used_s = time.process_time() - began
    assert not bag.import_errors, bag.import_errors
    assert dag_id in bag.dags
    print(json.dumps({"dags": len(bag.dags), "cpu_s": used_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
