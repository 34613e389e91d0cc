"""Finds out who asks, before anything else looks at the request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_app.errors import AppError, InvalidTokenError, UnauthenticatedError
from fastapi_app.identity import PRINCIPAL, Principal
from fastapi_app.problems import problem_response

SUBPROTOCOL = "mcli"
BEARER = "mcli.bearer."
"""A browser cannot send a header with a WebSocket: it offers `mcli` and `mcli.bearer.<token>`."""
FIRST_MESSAGE_WITHIN = 5.0
"""Seconds a client has to say who it is once a socket is open."""
LONGEST_FIRST_MESSAGE = 8192
# Close codes of ours (4000 to 4999 are private use, RFC 6455 section 7.4.2).
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
_IN_URLS = frozenset({"token", "access_token", "api_key"})


class Doorkeeper(Protocol):
    """Who knows all principals."""

    async def principal(self, token: str) -> Principal:
        """Whose token this is, or an `AppError`."""

    async def until_revoked(self, principal: Principal) -> None:
        """Wait until nothing may go on that this principal has begun."""


class Identity:
    """Answers 401 to who has no token that holds.

    `public` are paths for everybody; one that ends in `/` stands for all below it.
    """

    def __init__(self, app: ASGIApp, public: Sequence[str]) -> None:
        self._app = app
        self._public = frozenset(path for path in public if not path.endswith("/"))
        self._below = tuple(path for path in public if path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        doorkeeper: Doorkeeper = scope["app"].state.services.identity
        if scope["type"] == "websocket":
            await _Socket(self._app, doorkeeper, scope, receive, send).serve()
            return
        try:
            principal = await doorkeeper.principal(_bearer(scope))
        except AppError as error:
            response = problem_response(error, scope["path"])
            if _has_body(scope):  # nobody reads it, and what comes next would wait for that
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})[PRINCIPAL] = principal
        await self._app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(self._below)


class _Socket:
    """One WebSocket, from its handshake until it is closed or its principal is revoked."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._scope = scope
        self._receive = receive
        self._send = send
        self._accepted = self._closed = False
        self._subprotocol: str | None = None

    async def serve(self) -> None:
        self._handshake = [await self._receive()]
        try:
            principal = await self._doorkeeper.principal(await self._token())
        except AppError as error:
            await self._refuse(error)
        except (_LeftError, TimeoutError):
            await self._close(UNAUTHENTICATED, "no token within five seconds")
        else:
            self._scope.setdefault("state", {})[PRINCIPAL] = principal
            await self._serve_until_revoked(principal)

    async def _token(self) -> str:
        if _IN_URLS & {
            name for name, _ in parse_qsl(self._scope["query_string"].decode("latin-1"))
        }:
            raise InvalidTokenError("A token must not be in a URL, which is written to logs")
        offered = self._scope.get("subprotocols", ())
        if SUBPROTOCOL in offered:
            self._subprotocol = SUBPROTOCOL
        for protocol in offered:
            if protocol.startswith(BEARER):
                return str(protocol).removeprefix(BEARER)
        if any(name == b"authorization" for name, _ in self._scope["headers"]):
            return _bearer(self._scope)
        self._accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol})
        async with asyncio.timeout(FIRST_MESSAGE_WITHIN):
            return _first(await self._receive())

    async def _refuse(self, error: AppError) -> None:
        if self._accepted:
            await self._close(UNAUTHENTICATED, error.title)
        else:
            response = problem_response(error, self._scope["path"])
            await response(self._scope, self._receive, self._send)

    async def _serve_until_revoked(self, principal: Principal) -> None:
        serving = asyncio.ensure_future(self._app(self._scope, self._next, self._pass_on))
        revoked = asyncio.ensure_future(self._doorkeeper.until_revoked(principal))
        try:
            await asyncio.wait((serving, revoked), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
        finally:
            revoked.cancel()
            serving.cancel()
            await asyncio.gather(serving, revoked, return_exceptions=True)
        if not self._closed:
            await self._close(UNAUTHENTICATED, "the token was revoked")

    async def _next(self) -> Message:
        """The handshake, which we have taken already, then what comes."""
        return self._handshake.pop() if self._handshake else await self._receive()

    async def _pass_on(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            if self._accepted:
                return
            self._accepted = True
            message.setdefault("subprotocol", None)
            message["subprotocol"] = message["subprotocol"] or self._subprotocol
        elif kind == "websocket.close":
            self._closed = True
        elif kind.startswith("websocket.http.response."):
            self._closed = True
            if self._accepted:  # too late to deny the handshake
                if kind.endswith(".start"):
                    code = FORBIDDEN if message["status"] == 403 else 4000 + message["status"]
                    await self._close(code, "")
                return
        await self._send(message)

    async def _close(self, code: int, reason: str) -> None:
        self._closed = True
        with contextlib.suppress(OSError):  # who has left needs no reason
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


class _LeftError(Exception):
    """The client is gone."""


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def _first(message: Message) -> str:
    """The token in the first message: `{"token": "…"}`."""
    if message["type"] == "websocket.disconnect":
        raise _LeftError
    text = message.get("text") or ""
    try:
        token = json.loads(text)["token"] if len(text) <= LONGEST_FIRST_MESSAGE else None
    except (ValueError, TypeError, LookupError, RecursionError):
        token = None
    if not isinstance(token, str):
        raise UnauthenticatedError('The first message must be {"token": "<token>"}.')
    return token


def _bearer(scope: Scope) -> str:
    """The token of the one `Authorization` header (RFC 6750, section 2.1)."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        raise UnauthenticatedError
    if len(found) > 1:
        raise InvalidTokenError("There is more than one Authorization header")
    text: str = found[0].decode("latin-1")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidTokenError("The Authorization header is not of the form `Bearer <token>`")
    return token.strip()
