# SPDX-License-Identifier: Apache-2.0
"""The keys that ``variables.json`` may have, as pydantic models. `policy.Policy` is the whole file."""
