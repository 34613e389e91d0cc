"""Each request gets an id, is counted, and has its line in the access log: one pass for all three.

The outermost layer. `scope["state"]["request_id"]` holds the id, and the answer carries it as
`X-Request-Id`: the client's own where that is harmless, else one that sorts by time (RFC 9562).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from time import perf_counter

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from fastapi_app.metrics import UNMATCHED, UNROUTED, Metrics
from fastapi_app.middleware.access_log import AccessLog
from fastapi_app.observability import CALLER, Caller

HEADER = b"x-request-id"
TRACED = "fastapi.telemetry"
"""In the scope of what FastAPI traces."""
CLIENT_LEFT = 499
"""nginx's number for an answer that never began, because nobody waited for it any more."""
_HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Observed:
    """Names, counts and logs what `app` answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: AccessLog | None) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        caller = _enter(scope)
        header = (HEADER, caller.request_id.encode())
        status = size = 0
        begun = head = perf_counter()

        # No coroutine of its own around each message: the one of `send` is handed through.
        def observed(message: Message) -> Awaitable[None]:
            nonlocal status, size, head
            if message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                head = perf_counter()
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            return send(message)

        metrics, log = self._metrics, self._log
        metrics.in_flight += 1
        try:
            await self._app(scope, receive, observed)
        finally:
            metrics.in_flight -= 1
            status = status or CLIENT_LEFT
            route = _route(scope)
            metrics.answered(scope["method"], route, status, head - begun)
            if log is not None and status >= log.least:
                log.note(scope, caller, route, status, perf_counter() - begun, size)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket has an id too, and nowhere to say so; what else there is has none."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        _enter(scope)
        self._metrics.websockets += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._metrics.websockets -= 1


def _enter(scope: Scope) -> Caller:
    state = scope.setdefault("state", {})
    request_id = _given(scope["headers"]) or str(uuid7())
    state["request_id"] = request_id
    client = scope.get("client")
    if TRACED in scope:
        trace.get_current_span().set_attribute("mcli.request_id", request_id)
    caller = Caller(request_id, client[0] if client else "", state)
    CALLER.set(caller)
    return caller


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == HEADER:
            return value.decode("ascii") if _HARMLESS.fullmatch(value) else None
    return None


def _route(scope: Scope) -> str:
    """The template of the route that took the request, one of as many as the app has."""
    route = scope.get("route")
    if route is not None:
        template: str = route.path
        return template
    return UNMATCHED if scope.get("endpoint") is None else UNROUTED
