"""Limits how often one principal may call one route."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_app.errors import RateLimitedError
from fastapi_app.identity import PRINCIPAL
from fastapi_app.limiter import Limiter
from fastapi_app.metrics import METHODS
from fastapi_app.middleware.templates import Templates
from fastapi_app.problems import problem_response
from fastapi_app.windows import Policy, Verdict

DEFAULT = "default"
LOGIN = "login"
LOGIN_PATHS = frozenset({"/api/v1/auth/login", "/api/v1/auth/refresh"})
DENIAL = "websocket.http.response"
"""The extension by which a handshake can be answered with a status and a body."""
_ANSWERS = frozenset({"http.response.start", "websocket.accept", f"{DENIAL}.start"})
_V6_NETWORK = 64
"""Bits of an IPv6 address that a subscriber cannot change at will (RFC 6177)."""


class RateLimit:
    """Answers 429 problem details (RFC 6585) with `Retry-After` to requests that are too many.

    Each answer says what is left, in `RateLimit` and `RateLimit-Policy`
    (draft-ietf-httpapi-ratelimit-headers). Who calls is `scope["state"]["principal"]`, else the
    address. Handshakes of WebSockets count as requests.
    """

    def __init__(
        self, app: ASGIApp, limiter: Limiter, default: Policy | None, login: Policy | None
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._default = default
        self._login = login
        self._templates = Templates(())
        self._known = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy, key = self._bucket(scope) if scope["type"] != "lifespan" else (None, "")
        if policy is None:
            await self._app(scope, receive, send)
            return
        verdict = await self._limiter.hit(policy, key)
        headers = _headers(policy, verdict)

        async def tell(message: Message) -> None:
            if message["type"] in _ANSWERS:
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        if verdict.left >= 0:
            await self._app(scope, receive, tell)
        elif scope["type"] == "websocket" and DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1013})
        else:
            response = problem_response(
                RateLimitedError(str(policy), verdict.resets), scope["path"]
            )
            await response(scope, receive, tell)

    def _bucket(self, scope: Scope) -> tuple[Policy | None, str]:
        """The policy for a request, and what it is counted under."""
        method = scope.get("method", "WS")
        if scope["path"] in LOGIN_PATHS and method == "POST":
            return self._login, f"{LOGIN}:{_address(scope)}:{scope['path']}"
        principal = scope.get("state", {}).get(PRINCIPAL)
        if principal is not None and principal.exempt:
            return None, ""
        who = _address(scope) if principal is None else principal.key
        if method not in METHODS:
            method = "WS" if scope["type"] == "websocket" else "*"
        return self._default, f"{DEFAULT}:{who}:{method} {self._template(scope)}"

    def _template(self, scope: Scope) -> str:
        """Of the route; only whoever is counted by it needs it looked up."""
        routes = scope["app"].routes
        if len(routes) != self._known:
            self._known = len(routes)
            self._templates = Templates(routes)
        return self._templates.of(scope["path"])


def _headers(policy: Policy, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    state = f'"{policy.name}";r={max(0, verdict.left)};t={verdict.resets}'
    return [(b"ratelimit-policy", _stated(policy)), (b"ratelimit", state.encode())]


@lru_cache(16)
def _stated(policy: Policy) -> bytes:
    return f'"{policy.name}";q={policy.quota};w={policy.seconds}'.encode()


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return _network(client[0]) if client else "address:?"


@lru_cache(4096)
def _network(host: str) -> str:
    """The address, or for IPv6 its network: one host has more addresses than any table."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"address:{host}"
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.version == 6:
        return f"address:{ipaddress.ip_network((int(address), _V6_NETWORK), strict=False)}"
    return f"address:{address}"
