"""A headless Chromium, spoken to by its DevTools protocol over two pipes: no port is open, and it ends with us.

The protocol: https://chromedevtools.github.io/devtools-protocol/; over pipes, each message ends with a zero byte.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ANSWER_S = 120.0
_QUIET = (
    "--headless=new",
    "--no-sandbox",  # root may not have one; the only pages it sees are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en-US",
    "--password-store=basic",
    # Nothing but loopback is asked, whatever a page wants.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class BrowserError(Exception):
    """The browser is gone, or refuses what was asked."""


class Chromium:
    """One browser with one tab."""

    def __init__(self, profile: Path, *more: str) -> None:
        """Start it; what it writes goes below `profile`."""
        profile.mkdir(parents=True)
        self._buffer = b""
        self._count = 0
        self.events: list[dict[str, Any]] = []
        self._log = profile / "chromium.log"
        self._process = self._start(profile, more)
        (tab,) = (one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session: str | None = self.ask("Target.attachToTarget", targetId=tab["targetId"], flatten=True)[
            "sessionId"
        ]

    def _start(self, profile: Path, more: tuple[str, ...]) -> subprocess.Popen[bytes]:
        self._session = None
        to_read, self._to = _pipe()
        self._from, to_write = _pipe()
        program = [
            find_browser(), *_QUIET, *more, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # It reads descriptor 3 and writes 4: a shell puts ours there.
        moving = f'exec "$@" 3<&{to_read} 4>&{to_write} {to_read}<&- {to_write}>&-'
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", moving, "bash", *program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(to_read, to_write),
                env={**os.environ, "HOME": str(profile), "TZ": "UTC", "LANGUAGE": "en_US"},
            )
        os.close(to_read)
        os.close(to_write)
        return process

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and give its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                break
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def close(self) -> None:
        """End it: it goes when its pipe does."""
        os.close(self._to)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _ANSWER_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self._from, 1 << 20) if ready else b""
            if not more:
                why = "has ended" if ready else f"does not answer within {_ANSWER_S:g} s"
                raise BrowserError(f"the browser {why}: {self._log.read_text(errors='replace')[-2000:]}")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found


def _pipe() -> tuple[int, int]:
    """Give a pipe whose ends are neither 3 nor 4."""
    low = os.pipe()
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in low]
    for one in low:
        os.close(one)
    return high[0], high[1]


def find_browser() -> str:
    """Give the program; on Ubuntu, whose chromium is a snap, an installed Chrome does as well."""
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    raise BrowserError(f"none of {', '.join(_NAMES)} is on PATH; `scripts/setup.sh airflow` installs chromium")
