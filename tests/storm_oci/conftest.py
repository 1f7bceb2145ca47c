"""The storm has an installation of its own: none of it is left for others afterwards. Without Airflow: nothing here."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["test_*.py"]
