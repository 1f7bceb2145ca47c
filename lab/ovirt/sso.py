"""Log-in as the engine does it: tokens that expire, forgotten when the engine restarts."""

from __future__ import annotations

import secrets
import threading
import time
import urllib.parse
from typing import Any

from lab.ovirt.engine import Engine


class Tokens:
    """Who is logged in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}
        self.issued: list[str] = []
        """All there ever were, for tests that look for them where they should not be."""

    def log_in(self, form: str) -> tuple[int, dict[str, Any]]:
        """Give a token for a name and a password."""
        given = dict(urllib.parse.parse_qsl(form))
        user = self._engine.inventory.users.get(given.get("username", ""))
        if user is None or not secrets.compare_digest(user.password, given.get("password", "")):
            text = (
                f"Cannot authenticate user {given.get('username')}: Unable to log in. Verify your login information "
                "or contact the system administrator.."
            )
            return 400, {"error": "access_denied", "error_code": "access_denied", "error_description": text}
        token, seconds = secrets.token_urlsafe(48), float(self._engine.setting("token_seconds"))
        with self._lock:
            self._tokens[token] = (user.name, time.time() + seconds)
            self.issued.append(token)
        expires = str(int((time.time() + seconds) * 1000))
        return 200, {"access_token": token, "scope": "ovirt-app-api", "exp": expires, "token_type": "bearer"}

    def log_out(self, form: str) -> None:
        """Forget a token."""
        token = dict(urllib.parse.parse_qsl(form)).get("token", "")
        with self._lock:
            self._tokens.pop(token, None)

    def user_of(self, header: str) -> str | None:
        """Tell whose token that is; None for one that is unknown or expired."""
        with self._lock:
            name, until = self._tokens.get(header.removeprefix("Bearer "), ("", 0.0))
        return name if time.time() < until else None

    def forget_all(self) -> None:
        """Let every token expire now."""
        with self._lock:
            self._tokens.clear()

    @property
    def count(self) -> int:
        """How many are valid: a client that logs out leaves none."""
        now = time.time()
        with self._lock:
            return sum(until > now for _, until in self._tokens.values())
