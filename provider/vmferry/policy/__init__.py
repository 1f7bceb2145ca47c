# SPDX-License-Identifier: Apache-2.0
"""The policy: what an admin wants to happen, from ``variables.json`` to schedules, retention and DAG files.

Read it in this order: `load` (text to checked policy, or all that is wrong with it), `models` (the keys there are),
`resolve` (defaults, patterns and exceptions become one `vm.VmPolicy` per VM), `schedules` (when), `fulls` (full or
incremental), `plan` (what would run), `render` (the DAG files), `secure` (passwords out of the file).

`vm`, `schedules` and what they stand on need the standard library only, because every DAG file imports them;
pydantic and Jinja are imported by `load` and `render` alone.
"""
