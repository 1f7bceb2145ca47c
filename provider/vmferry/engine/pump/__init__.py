# SPDX-License-Identifier: Apache-2.0
"""The pump: moves a disk from one endpoint to another and, in the same pass, proves it.

`plan` says what has to be looked at, `worker` does one group of it, `commits` makes finished groups safe,
`passes` runs them together. `copy` moves, `measure` only proves.
"""

from __future__ import annotations

from vmferry.engine.pump.passes import copy, measure
from vmferry.engine.pump.result import CopyOptions, CopyResult

__all__ = ["CopyOptions", "CopyResult", "copy", "measure"]
