"""Tells the story: headings, the commands as a user would type them, what they printed, and what was checked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


class Teller:
    """Prints, runs, checks; ends the story with a failure when something does not hold."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._started = time.monotonic()
        self._checked = 0
        self._is_terminal = sys.stdout.isatty()

    def chapter(self, text: str) -> None:
        """Begin a new part of the story."""
        spent = f"{time.monotonic() - self._started:.0f} s"
        print(f"\n{self._bold(text)}  [{spent}]", flush=True)

    def say(self, text: str) -> None:
        """Tell something."""
        print(f"   {text}", flush=True)

    def vmferry(self, *arguments: str, expect: int = 0) -> str:
        """Run one command of ours in the room, show it with its answer, and check its exit code."""
        print(f"   {self._bold('$ vmferry ' + ' '.join(arguments))}", flush=True)
        command = [str(Path(sys.executable).with_name("vmferry")), *arguments]
        done = subprocess.run(
            command, cwd=self._room, capture_output=True, text=True, check=False, env=self._environment()
        )
        for line in (done.stdout + done.stderr).splitlines():
            print(f"   | {line}", flush=True)
        if done.returncode != expect:
            self.fail(f"exit code {done.returncode}, expected {expect}")
        return done.stdout

    def check(self, holds: bool, text: str) -> None:
        """Note something that has to hold."""
        if not holds:
            self.fail(text)
        self._checked += 1
        print(f"   {self._green('ok')} {text}", flush=True)

    def fail(self, text: str) -> None:
        """End the story badly."""
        sys.exit(f"\ndemo: THIS DOES NOT HOLD: {text}")

    def end(self) -> None:
        """End the story well."""
        spent = time.monotonic() - self._started
        print(f"\n{self._bold(f'demo: all {self._checked} checks held, {spent:.0f} s')}", flush=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self._room / "state")}

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._is_terminal else text

    def _green(self, text: str) -> str:
        return f"\033[32m{text}\033[0m" if self._is_terminal else text
