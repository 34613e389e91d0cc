"""Compresses answers for clients that take gzip; others go past it."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FROM = 1024
"""Bytes from which an answer is compressed."""
LEVEL = 5
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/x-ndjson", "text/plain")
"""Besides what is small already: streams, of events and of logs."""
_VARY = (b"vary", b"Accept-Encoding")


class Compression:
    """Uses the library's, which makes a responder for each request, only where it may be needed.

    All answers say that they vary with `Accept-Encoding` (RFC 9110, section 12.5.5).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, FROM, LEVEL, exclude_content_types=NOT_COMPRESSED)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        for name, value in scope["headers"]:
            if name == b"accept-encoding" and b"gzip" in value:
                return self._gzip(scope, receive, send)

        def tell(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _VARY]
            return send(message)

        return self._app(scope, receive, tell)
