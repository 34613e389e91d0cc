"""Refuses bodies over the limit, announced or not, and compressed ones, before they are read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_app.errors import AppError, BodyEncodedError, BodyTooLargeError
from fastapi_app.problems import problem_response

_PLAIN = frozenset({b"", b"identity"})


class BodyLimit:
    """Answers 413 problem details; `limit` is bytes.

    Nothing unpacks a body here, so one with a `Content-Encoding` is no way around the limit: it is
    answered with 415 (RFC 9110, section 8.4).
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length, encoding = _announced(scope)
        if encoding:
            await _refuse(BodyEncodedError(encoding), scope, receive, send)
        else:
            await self._count(scope, receive, send, length)

    async def _count(self, scope: Scope, receive: Receive, send: Send, announced: int) -> None:
        answering = over = False

        async def counted_send(message: Message) -> None:
            nonlocal answering
            if over and not answering:
                return  # what the application makes of a body it could not read
            answering = True
            await send(message)

        left = self._limit

        async def counted_receive() -> Message:
            nonlocal left, over
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                over = True
                raise _OverLimitError
            return message

        try:
            over = announced > self._limit
            if not over:
                await self._app(scope, counted_receive, counted_send)
        except _OverLimitError:
            if answering:
                raise
        if over and not answering:
            await _refuse(BodyTooLargeError(self._limit), scope, receive, send)


class _OverLimitError(Exception):
    """Raised through the application, whose parsers must not take it for bad input."""


def _announced(scope: Scope) -> tuple[int, str]:
    """How long the body will be, if that is said, and how it is encoded, if it is."""
    length, encoding = 0, ""
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"content-encoding" and value.lower() not in _PLAIN:
            encoding = value.decode("latin-1")
    return length, encoding


async def _refuse(error: AppError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(error, scope["path"])
    # What the client goes on sending is not worth reading.
    response.headers["Connection"] = "close"
    if error.status == BodyEncodedError.status:
        response.headers["Accept-Encoding"] = "identity"
    await response(scope, receive, send)
