# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a job as such; what its work can raise is in `vmferry.engine.errors`.

::

    BadInput
    ├── JobMismatch     the directory belongs to a job that was asked for something else
    └── JobUnknown      there is no such job
    EngineError
    ├── JobBusy         the job runs, so what was asked has to wait
    └── JobLost         the process that ran the job is gone and left no result
"""

from __future__ import annotations

from vmferry.engine.errors import BadInput, EngineError


class JobMismatch(BadInput):
    """The directory belongs to a job that was asked for something else."""


class JobUnknown(BadInput):
    """There is no such job."""


class JobLost(EngineError):
    """The process that ran the job is gone and left no result: killed, or its machine went down."""
