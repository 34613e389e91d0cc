"""Keeps pages of other sites out: of the API by its origin, of our name by the `Host` header."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_app.errors import AppError, ForbiddenHostError, ForbiddenOriginError
from fastapi_app.hosts import (
    Host,
    KnownHosts,
    Origin,
    names_bound_to,
    origin_of,
    parse_origin,
)
from fastapi_app.problems import problem_response

_OWN_SITES = frozenset({b"same-origin", b"none"})
_HTTP = {"ws": "http", "wss": "https"}
_TELLING = frozenset({b"host", b"origin", b"sec-fetch-site", b"sec-fetch-dest"})


class TrustedHost:
    """Answers 403 problem details, before a handshake too, unless host and origin are ours.

    The host: exactly one, and loopback, `localhost`, the address that is listened on, or one of
    `names`. Against DNS rebinding, where a page's own name leads to this server.

    The origin: the same as the host's, or one of `origins`. Browsers name it with whatever may
    change something and with every handshake (Fetch, section 3.1); where they do not, they say in
    `Sec-Fetch-Site` whose page asks (Fetch Metadata, section 2.3). Another site may do no more than
    lead a person to one of `pages`. Programs send neither of the two.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        bound_to: str,
        names: Iterable[str],
        origins: Iterable[str],
        pages: Collection[str],
    ) -> None:
        self._app = app
        self._hosts = KnownHosts([*names, *names_bound_to(bound_to)])
        self._origins = frozenset(map(parse_origin, origins))
        self._pages = frozenset(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
        elif error := self._refused(scope):
            if scope["type"] == "websocket":
                await receive()  # the handshake, which gets an answer like any request
            await problem_response(error, scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> AppError | None:
        told: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _TELLING:
                if name in told:  # whom of both should one believe?
                    return ForbiddenHostError() if name == b"host" else ForbiddenOriginError()
                told[name] = value
        host = self._hosts.find(told.get(b"host", b""))
        if host is None:
            return ForbiddenHostError()
        return (
            None if len(told) == 1 or self._is_ours(scope, told, host) else ForbiddenOriginError()
        )

    def _is_ours(self, scope: Scope, told: dict[bytes, bytes], host: Host) -> bool:
        if b"origin" in told:
            origin = parse_origin(told[b"origin"].decode("latin-1"))
            if origin is None:
                return False
            if origin in self._origins:
                return True
            if origin != _own_origin(scope, host):
                return False
        return told.get(b"sec-fetch-site", b"none") in _OWN_SITES or (
            scope["path"] in self._pages and told.get(b"sec-fetch-dest") == b"document"
        )


def _own_origin(scope: Scope, host: Host) -> Origin:
    scheme: str = scope["scheme"]
    return origin_of(_HTTP.get(scheme, scheme), host)
