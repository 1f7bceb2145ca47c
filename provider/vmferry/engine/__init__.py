# SPDX-License-Identifier: Apache-2.0
"""The engine: moves and proves disk bytes. Standard library only, Python 3.9 and later.

The same code runs inside an Airflow worker, behind the ``vmferry`` command, and, shipped as one
zipapp over SSH, on a machine that has nothing but ``python3``.

Read it in this order: `endpoint` (what can be read and written), `endpoints` (the kinds there are),
`pump` (moves bytes between two of them), `proof` (what was moved), `journal` (where to go on),
`jobs` (the directory in which all of that happens).
"""
