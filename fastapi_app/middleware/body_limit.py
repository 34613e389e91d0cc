"""Refuses bodies over the limit, announced or not, before they fill the memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_app.errors import BodyTooLargeError
from fastapi_app.problems import problem_response


class BodyLimit:
    """Answers 413 problem details; `limit` is bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
            over = _announced(scope) > self._limit
            if not over:
                await self._app(scope, counted_receive, counted_send)
        except _OverLimitError:
            if answering:
                raise
        if over and not answering:
            response = problem_response(BodyTooLargeError(self._limit), scope["path"])
            # What the client goes on sending is not worth reading.
            response.headers["Connection"] = "close"
            await response(scope, receive, send)


class _OverLimitError(Exception):
    """Raised through the application, whose parsers must not take it for bad input."""


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
