# SPDX-License-Identifier: Apache-2.0
"""Reads a disk to its root, with a progress bar; used by proof and compare."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from vmferry.cli.bar import ProgressBar
from vmferry.cli.disk.source import SourceChoice
from vmferry.engine.pump.result import CopyResult


def measure_location(text: str, choice: Mapping[str, Any], *, workers: int | None, output: Path | None) -> CopyResult:
    """Compute the root of what the user named."""
    from vmferry.engine.endpoints import open_source
    from vmferry.engine.jobs.beforehand import check_proof_place
    from vmferry.engine.progress import Progress
    from vmferry.engine.pump import measure

    if output is not None:
        check_proof_place(output)
    spec, secrets = SourceChoice(text, **choice).resolve()
    cancel = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cancel.set())
    progress = Progress()
    with closing(open_source(spec, secrets)) as source, ProgressBar(progress.status, "proof"):
        return measure(source, workers=workers or spec.workers, progress=progress, cancel=cancel, proof=output)
