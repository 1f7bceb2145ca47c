"""Talks to a running qemu-storage-daemon; anyone may hang up and dial again, as an engine does that was killed."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

ANSWER_S = 60.0


class QmpError(RuntimeError):
    """qemu refused a command, or is gone."""


class Qmp:
    """One conversation; a context manager."""

    def __init__(self, path: Path, dial_s: float = 30.0) -> None:
        self._events: deque[dict[str, Any]] = deque()
        self._stream = _dial(path, dial_s)
        self._lines = self._stream.makefile("r", encoding="utf-8")
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Give one command and return its answer."""
        wish = {"execute": name, "arguments": {key.replace("_", "-"): one for key, one in arguments.items()}}
        try:
            self._stream.sendall(json.dumps(wish).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"qemu is gone: {error}") from None
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(f"qemu refused {name}: {answer['error']['desc']}")
            self._events.append(answer)

    def await_event(self, name: str, **data: Any) -> None:
        """Read on until this has happened; `data` are fields the event must have."""
        while True:
            event = self._events.popleft() if self._events else self._read()
            if event.get("event") == name and data.items() <= event["data"].items():
                return

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._stream.close()

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise QmpError(f"qemu does not answer: {error}") from None
        if not line:
            raise QmpError("qemu is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _dial(path: Path, seconds: float) -> socket.socket:
    deadline = time.monotonic() + seconds
    while True:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(ANSWER_S)
        try:
            stream.connect(str(path))
        except OSError as error:
            stream.close()
            if time.monotonic() > deadline:
                raise QmpError(f"qemu does not listen on {path.name}: {error}") from None
            time.sleep(0.02)
        else:
            return stream
