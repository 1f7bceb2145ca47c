# SPDX-License-Identifier: Apache-2.0
"""Patterns of VM names: ``web-*`` (shell wildcards), ``tag:gold``; which one is more exact, and whether two overlap."""

from __future__ import annotations

import fnmatch
import functools
import re

from vmferry.policy.errors import BadValue

_TAG = "tag:"


def is_pattern(key: str) -> bool:
    """Tell whether a key of ``vms_config`` stands for more than one VM."""
    return key.startswith(_TAG) or any(mark in key for mark in "*?[")


def matches(pattern: str, name: str, tags: frozenset[str] = frozenset()) -> bool:
    """Tell whether a pattern takes a VM. Case counts, as it does on the platforms."""
    if pattern.startswith(_TAG):
        return any(fnmatch.fnmatchcase(tag, pattern[len(_TAG) :]) for tag in tags)
    return fnmatch.fnmatchcase(name, pattern)


def rank(key: str) -> tuple[int, int]:
    """Give how exact a key is; the higher one wins: tags, then patterns by their plain letters, then names."""
    if key.startswith(_TAG):
        return (0, 0)
    if not is_pattern(key):
        return (2, 0)
    return (1, len(re.sub(r"\[[^\]]*\]|[*?]", "", key)))


def overlap(one: str, other: str) -> bool:
    """Tell whether some name fits both wildcard patterns; ``[..]`` counts as any letter, so yes may be too often."""
    first = re.sub(r"\[[^\]]*\]", "?", one)
    second = re.sub(r"\[[^\]]*\]", "?", other)

    @functools.cache
    def meet(i: int, j: int) -> bool:
        if i == len(first) or j == len(second):
            return not (first[i:] + second[j:]).strip("*")
        if first[i] == "*":
            return meet(i + 1, j) or meet(i, j + 1)
        if second[j] == "*":
            return meet(i, j + 1) or meet(i + 1, j)
        return (first[i] == second[j] or "?" in {first[i], second[j]}) and meet(i + 1, j + 1)

    return meet(0, 0)


def check_regex(text: str) -> str:
    """Refuse what is no regular expression."""
    try:
        re.compile(text)
    except re.error as failure:
        raise BadValue(
            f"{text!r} is not a regular expression: {failure}",
            fix="put a backslash before a bracket or star that is meant as a letter",
        ) from None
    return text
