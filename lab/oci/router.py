"""Which function answers which call of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.oci.signature import Principal
    from lab.oci.site import Site

CORE = "/20160918"
"""Compute, block volumes, networks, identity and work requests share this base path."""


class Refusal(Exception):
    """OCI does not do what it was asked for."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(what: str = "") -> Refusal:
    """Refuse in the words that never say whether the thing is missing or only forbidden."""
    return Refusal(
        404, "NotAuthorizedOrNotFound", f"Authorization failed or requested resource not found. {what}".strip()
    )


def invalid(message: str) -> Refusal:
    """Refuse a parameter."""
    return Refusal(400, "InvalidParameter", message)


def conflict(message: str) -> Refusal:
    """Refuse because something else is in the way."""
    return Refusal(409, "Conflict", message)


def incorrect_state(message: str) -> Refusal:
    """Refuse because of the state that something is in."""
    return Refusal(409, "IncorrectState", message)


@dataclass
class Request:
    """One call."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    stream: BufferedIOBase | None = None
    """The body of an object, which is not read before somebody wants it."""
    length: int = 0
    principal: Principal | None = None

    def need(self, name: str) -> str:
        """Return a query parameter that has to be there."""
        if not self.query.get(name):
            raise Refusal(400, "MissingParameter", f"Missing required query parameter {name}")
        return self.query[name]


@dataclass
class Reply:
    """An answer that is not just 200."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    file: tuple[Any, int, int] | None = None
    """An open file, and which of its bytes are the answer."""


Handler = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    """One kind of call."""

    method: str
    pattern: re.Pattern[str]
    permit: str
    handler: Handler
    streams: bool
    locked: bool


ROUTES: list[Route] = []


def route(
    method: str, path: str, permit: str, *, streams: bool = False, locked: bool = True
) -> Callable[[Handler], Handler]:
    """Let a function answer a call.

    `{}` in the path stands for an id and `{*}` for all that follows, slashes too; the function is given both.
    `streams`: its body is content, not JSON. `locked`: it runs alone.
    """
    pattern = re.compile("^" + re.escape(path).replace(r"\{\}", "([^/]+)").replace(r"\{\*\}", "(.+)") + "$", re.DOTALL)

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, permit, handler, streams, locked))
        return handler

    return register


def find_route(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """Find who answers a call, and what it is about."""
    for one in ROUTES:
        match = one.pattern.match(path) if one.method == method else None
        if match:
            return one, match.groups()
    return None


def dispatch(site: Site, request: Request, one: Route, words: tuple[str, ...]) -> Reply:
    """Check the permission and let the function answer."""
    assert request.principal
    site.policies.demand(request.principal, one.permit)
    if one.locked:
        with site.lock:
            found = one.handler(site, request, *words)
            if request.method != "GET":
                site.save()
    else:
        found = one.handler(site, request, *words)
    return found if isinstance(found, Reply) else Reply(found)
