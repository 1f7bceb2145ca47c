# SPDX-License-Identifier: Apache-2.0
"""``python -m vmferry.engine``: the engine's own command line."""

from __future__ import annotations

import sys

from vmferry.engine.command import main

if __name__ == "__main__":
    sys.exit(main())
