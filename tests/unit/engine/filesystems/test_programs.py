# SPDX-License-Identifier: Apache-2.0
"""Checkers run in bounded time and memory."""

from __future__ import annotations

from vmferry.engine.filesystems.programs import find_program, run_program


def test_exit_code_and_output_are_kept() -> None:
    run = run_program(("sh", "-c", 'echo "about $0"; echo aside >&2; exit 3'), "/dev/x", timeout_s=60)
    assert (run.exit_code, run.tail) == (3, "about /dev/x\naside")


def test_of_much_output_the_beginning_and_the_last_lines_are_kept() -> None:
    run = run_program(("sh", "-c", "seq 400000"), "x", timeout_s=60)
    assert run.tail.splitlines()[-1] == "400000"
    assert len(run.tail.splitlines()) == 20
    assert run.head.startswith("1\n2\n")
    assert len(run.head) == 1 << 20


def test_what_takes_too_long_is_stopped() -> None:
    run = run_program(("sleep",), "3600", timeout_s=0.05)
    assert (run.timed_out, run.exit_code) == (True, -9)


def test_a_signal_is_seen() -> None:
    assert run_program(("sh", "-c", "kill -SEGV $$"), "x", timeout_s=60).exit_code == -11


def test_programs_of_administrators_are_found() -> None:
    assert find_program("e2fsck")
    assert find_program("no-such-checker") is None
