"""Runs the bench: ``python -m tests.bench [--rounds N] [--line NAME]... [--json FILE]``.

Wall times are of whole processes, start of the interpreter included. A gate that is missed is said, not hidden, and
does not fail the run: what a number is worth depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from tests.bench.line import Bench, Outcome
from tests.bench.lines import LINES


def main() -> None:
    """Run the lines that were asked for and print the table."""
    parser = argparse.ArgumentParser(prog="tests.bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--line", action="append", choices=sorted(LINES))
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    given = parser.parse_args()
    started, outcomes = time.monotonic(), []
    for name in given.line or LINES:
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory(
            prefix="vmferry-bench-", dir=os.environ.get("VMFERRY_BENCH_DIR", "/var/tmp")
        ) as room:
            bench = Bench(Path(room), given.rounds, lambda text: print(f"  {text}", flush=True))
            outcomes += LINES[name](bench)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps([one.to_json() for one in outcomes], indent=2) + "\n")
    _print_table(outcomes)
    print(f"{time.monotonic() - started:.0f} s; {given.json}")


def _print_table(outcomes: list[Outcome]) -> None:
    print(f"\n{'what':55} {'value':>8} {'gate':>8}", flush=True)
    for one in outcomes:
        sign = ">=" if one.at_least else "<="
        verdict = "holds" if one.holds else "MISSED"
        print(f"{one.what:55} {one.value:8.2f} {sign} {one.gate:5g} {verdict:7} {one.detail}", flush=True)


if __name__ == "__main__":
    main()
