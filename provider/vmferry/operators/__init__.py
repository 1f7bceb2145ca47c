# SPDX-License-Identifier: Apache-2.0
"""Operators, by what they do: `backup`, `restore`, `vault`, `site`, `job`.

Each is thin: it validates, calls the rooms below, and defers where it would wait. They hand on plain JSON: ids, sizes
and roots; never a password, a ticket or a URL that opens something.
"""
