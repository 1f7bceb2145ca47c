"""Which function answers which call of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.ovirt.xml import Element

if TYPE_CHECKING:
    from lab.ovirt.engine import Engine


class Refusal(Exception):
    """The engine does not do what it was asked for."""

    def __init__(self, status: int, detail: str, reason: str = "Operation Failed") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason


def not_found(what: str, id: str) -> Refusal:
    """Refuse because something is not there."""
    return Refusal(404, f"Entity not found: {what}: id={id}", "Operation Failed")


@dataclass
class Request:
    """One call."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Element
    user: str = ""
    correlation: str = ""

    def is_set(self, name: str) -> bool:
        """Whether a query parameter says true."""
        return self.query.get(name, "").lower() == "true"


@dataclass
class Reply:
    """An answer that is not just 200."""

    body: Element
    status: int = 200


Handler = Callable[..., "Element | Reply"]


@dataclass
class Route:
    """One kind of call."""

    method: str
    pattern: re.Pattern[str]
    permit: str
    handler: Handler
    since: tuple[int, ...] = field(default=(0,))
    """Engines older than this do not know it."""


ROUTES: list[Route] = []


def route(method: str, path: str, permit: str = "read", since: tuple[int, ...] = (0,)) -> Callable[[Handler], Handler]:
    """Let a function answer a call; `{}` in the path stands for an id, which it is given."""
    pattern = re.compile("^" + path.replace("{}", "([^/]+)") + "$")

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, permit, handler, since))
        return handler

    return register


def dispatch(engine: Engine, request: Request) -> Element | Reply:
    """Find who answers a call, check the permission, and let it answer."""
    for one in ROUTES:
        match = one.pattern.match(request.path) if one.method == request.method else None
        if match is None or engine.version < one.since:
            continue
        engine.demand(request.user, one.permit)
        found: Any = one.handler(engine, request, *match.groups())
        return found  # type: ignore[no-any-return]
    raise Refusal(404, f"{request.method} {request.path}: no such resource", "Not Found")
