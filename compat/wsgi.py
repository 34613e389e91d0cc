"""The old stack mounted under ASGI, hardened where the plain bridge was seen to fail.

- The body is read before a thread is taken: chunked bodies arrive whole, a half-sent one never
  reaches the application, a slow client holds no thread.
- Calls wait in a bounded queue; beyond it they are shed with 503 instead of starving.
- A client that goes away frees its thread at the next piece of the answer.
- Header names with underscores are dropped: WSGI would merge them with those that have dashes.
- Of several content types the last counts, as in the old server.
- Bytes that WSGI cannot carry in a query are percent-encoded.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from a2wsgi import WSGIMiddleware
from starlette.types import Message, Receive, Scope, Send

from compat.call import last_header, read_body
from compat.legacy_json import dumps

GONE = "mcli.client_gone"
MARKS = "compat.marks"
"""Where the scope of a shadowed call holds a mapping for what the application notes of itself."""
NOTED = "legacy.run_id"
"""Where the application notes in its environment which run it has started."""
BUSY = dumps({"error": "server is busy"})
RETRY_AFTER = b"1"
_OWN = frozenset({b"transfer-encoding", b"content-length", b"content-type"})
_PRINTABLE = bytes(range(0x21, 0x7F)).decode()


class ClientGoneError(Exception):
    """Nobody reads the answer any more."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """How full the mount is: threads in use, calls waiting for one, calls shed since the start."""

    threads: int
    busy: int
    waiting: int
    shed: int


class Mount:
    """An ASGI application around a WSGI one; `limit` is the largest body, in bytes.

    `build` makes the application, once, in a thread: calls wait for it, the start of the server
    does not.
    """

    def __init__(
        self, build: Callable[[], WSGIApplication], *, threads: int, queue: int, limit: int
    ) -> None:
        self._ready = asyncio.ensure_future(asyncio.to_thread(self._build, build))
        self._threads = threads
        self._queue = queue
        self._limit = limit
        self._in_flight = 0
        self._shed = 0

    @property
    def saturation(self) -> Saturation:
        busy = min(self._in_flight, self._threads)
        return Saturation(self._threads, busy, self._in_flight - busy, self._shed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request.

        Raises:
            ClientLeftError: the client left before the end of its body.
        """
        # Read first: a client that is slow to send must not take another's place.
        body = await read_body(scope, receive, self._limit)
        if self._in_flight >= self._threads + self._queue:
            self._shed += 1
            await _send_busy(send)
            return
        self._in_flight += 1
        gone = threading.Event()
        watching = asyncio.ensure_future(_watch(receive, gone))
        try:
            bridge = await asyncio.shield(self._ready)
            await bridge(_scope(scope, body, gone, self._limit), _replay(body), send)  # type: ignore[arg-type]
        except ClientGoneError:
            return
        finally:
            watching.cancel()
            self._in_flight -= 1

    async def ready(self) -> None:
        """Wait until the application is built."""
        await asyncio.wait({self._ready})

    async def aclose(self) -> None:
        """Take no more calls; threads end with the call they serve."""
        await self.ready()
        if self._ready.exception() is None:
            self._ready.result().executor.shutdown(wait=False, cancel_futures=True)

    def _build(self, build: Callable[[], WSGIApplication]) -> WSGIMiddleware:
        return WSGIMiddleware(_Guarded(build()), workers=self._threads)  # type: ignore[arg-type]


class _Guarded:
    """The WSGI application, whose answer stops when the client is gone."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr
        scope: Scope = environ["asgi.scope"]
        answer = self._app(environ, start)
        if MARKS in scope and NOTED in environ:
            scope[MARKS]["run_id"] = environ[NOTED]
        return _Answer(answer, scope[GONE])


class _Answer:
    def __init__(self, pieces: Iterable[bytes], gone: threading.Event) -> None:
        self._pieces = pieces
        self._gone = gone

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._gone.is_set():
                raise ClientGoneError
            yield piece

    def close(self) -> None:
        getattr(self._pieces, "close", lambda: None)()


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _scope(scope: Scope, body: bytes | None, gone: threading.Event, limit: int) -> Scope:
    length = limit + 1 if body is None else len(body)
    headers = [
        (name, value) for name, value in scope["headers"] if b"_" not in name and name not in _OWN
    ]
    if kind := last_header(scope, b"content-type"):
        headers.append((b"content-type", kind))
    if length or any(name == b"content-length" for name, _ in scope["headers"]):
        headers.append((b"content-length", str(length).encode()))
    query = quote_from_bytes(scope["query_string"], safe=_PRINTABLE).encode("ascii")
    return {**scope, "headers": headers, "query_string": query, GONE: gone}


def _replay(body: bytes | None) -> Receive:
    async def receive() -> Message:
        # A body over the limit is refused by its length alone, before it is read.
        return {"type": "http.request", "body": body or b"", "more_body": False}

    return receive


async def _send_busy(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BUSY)).encode()),
        (b"retry-after", RETRY_AFTER),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})
