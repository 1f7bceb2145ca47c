"""The lines of the bench, one a module."""

from __future__ import annotations

from tests.bench.line import Line
from tests.bench.lines.copy import measure_copy
from tests.bench.lines.http_import import measure_http_import
from tests.bench.lines.incremental import measure_incremental
from tests.bench.lines.oci_import import measure_oci_import
from tests.bench.lines.restore import measure_restore
from tests.bench.lines.sparse import measure_sparse

LINES: dict[str, Line] = {
    "copy": measure_copy,
    "incremental": measure_incremental,
    "restore": measure_restore,
    "http": measure_http_import,
    "oci": measure_oci_import,
    "sparse": measure_sparse,
}
