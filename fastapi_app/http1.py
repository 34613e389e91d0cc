"""HTTP/1.1 as old clients know it: uvicorn's protocol, with habits of the servers before it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import quote_from_bytes, urlsplit

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fastapi_app.connections import MAX_TARGET, MIN_RATE, Deadlines, Gatekeeper, Limits, refusal
from fastapi_app.errors import (
    AppError,
    HeadTooLargeError,
    TargetTooLongError,
    TooManyConnectionsError,
    TooSlowRequestError,
)

AT_ONCE = 8
"""Requests whose answers begin in one turn of the loop."""
SHORT = 1024
"""Bytes of a head that is worth keeping."""
_METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STAND_IN = b"UNLINK"
"""A method the parser knows, in the place of one that it may not."""
_ODD = re.compile(rb"[\x00-\x08\x0e-\x1b\x7f-\xff]")
_KEPT = bytes(byte for byte in range(128) if not _ODD.match(bytes((byte,)))).decode()
_PATHS = (b"/", b"*")
_INTERIM = b"HTTP/1.1 1"
_SWITCHING = b"HTTP/1.1 101"
_OWN_ID = b"\r\nx-request-id: "


class TolerantHttp(HttpToolsProtocol):
    """Takes any method and raw bytes in the request line, and spells header names `Like-This`.

    The parser knows only ASCII in the request line (RFC 9112, section 3.2), but `curl` sends what a
    person typed, and the old server never minded: raw bytes are percent-encoded, which is what the
    client should have done. `curl -X post` is a `POST`, and a method that nobody knows is for the
    application to refuse. Of a target that is a whole URL the path is asked for, at the host that
    it names whatever the header says (RFC 9112, section 3.2.2). Names of headers are the same in
    any case (RFC 9110, section 5.1), but scripts that grep for `Content-Type:` know only one
    spelling.

    The parser keeps whatever comes until it is whole, for as long as that takes: what a connection
    may take is in `gatekeeper`. Nothing is done for that as long as requests come in one piece.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        gatekeeper: Gatekeeper | None = None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **more)
        self._gatekeeper = gatekeeper or Gatekeeper(Limits())
        self._owed: Deadlines | None = None
        self._refused: AppError | None = None
        self._in_body = False
        # Bytes since the end of the last request: all, up to the last of the body, and up to when
        # its rate was looked at.
        self._pending = self._with_body = self._seen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the speller between uvicorn and the socket."""
        self._speller = _Speller(transport)
        self._method: bytes | None = None
        self._authority = b""
        self._between = True
        super().connection_made(cast("asyncio.Transport", self._speller))
        room = self._gatekeeper.limits.connections
        if len(self.connections) > room:
            self._refuse(TooManyConnectionsError(room))
        else:
            self._owe(self._gatekeeper.heads)

    def connection_lost(self, exc: Exception | None) -> None:
        """It owes nothing any more."""
        self._owe(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Mend the first line of a request.

        Nothing else: a body may still come in when its answer has gone out.
        """
        self._pending += len(data)
        if self._between:
            line, end, rest = data.partition(b"\r\n")
            method, space, target = line.partition(b" ")
            if _ODD.search(target):
                target = quote_from_bytes(target, safe=_KEPT).encode()
                data = method + space + target + end + rest
            if space and target[:1] not in _PATHS:
                self._authority, target = origin_form(target)
                data = method + space + target + end + rest
            if method not in _METHODS and space and _TOKEN.fullmatch(method):
                self._method = method.upper()
                data = _STAND_IN + space + target + end + rest
        super().data_received(data)
        if self._pending:
            self._go_on_waiting()
        elif self._owed is not None:
            self._owe(None)

    def on_message_begin(self) -> None:
        """What comes now is not the begin of a request any more."""
        self._between = False
        self._pending = self._pending or 1  # behind another, in the same piece
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """What comes next is."""
        self._between = True
        self._in_body = False
        self._pending = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Give the application the method and the host that were asked for."""
        self._check_head()
        super().on_headers_complete()
        self._in_body = True
        self._with_body = self._pending
        if self._authority:
            self.scope["headers"] = with_host(self.scope["headers"], self._authority)
            self._authority = b""
        if self._method is not None:
            self.scope["method"] = self._method.decode("ascii")
            self._method = None

    def on_body(self, body: bytes) -> None:
        """Note that what comes is a body, and not without end what stands around it."""
        self._with_body = self._pending
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Say why, where it is known better than "invalid"."""
        if self._refused is None:
            super().send_400_response(msg)
        else:
            self._refuse(self._refused)

    def overdue(self) -> bool:
        """End the connection, unless what it owes is late for no fault of its own."""
        limits = self._gatekeeper.limits
        if self.flow.read_paused:
            self._seen = self._pending
            return False
        if self._in_body:
            if self._pending - self._seen >= MIN_RATE * limits.body_timeout:
                self._seen = self._pending
                return False
            self._refuse(TooSlowRequestError("body", limits.body_timeout))
        elif self._is_answering():
            return False
        elif self._pending:
            self._refuse(TooSlowRequestError("head", limits.header_timeout))
        else:
            self._refuse(None)  # who connects and says nothing would take any answer for another's
        return True

    def _go_on_waiting(self) -> None:
        """The rest of a head or of a body is still to come."""
        limits = self._gatekeeper.limits
        if self.transport.is_closing():
            self._owe(None)
        elif not self._in_body:
            if not self._between and len(self.url) > MAX_TARGET:
                self._refuse(TargetTooLongError(MAX_TARGET))
            elif self._pending > limits.head_bytes or (
                not self._between and len(self.headers) > limits.headers
            ):
                self._refuse(HeadTooLargeError(limits.headers, limits.head_bytes))
            else:
                self._owe(self._gatekeeper.heads)
        elif self._pending - self._with_body > limits.head_bytes:  # trailers, or chunk extensions
            self._refuse(HeadTooLargeError(limits.headers, limits.head_bytes))
        elif self._pending > limits.discarded_bytes and not self._is_answering():
            self._refuse(None)
        else:
            if self._owed is not self._gatekeeper.bodies:
                self._seen = self._pending
            self._owe(self._gatekeeper.bodies)

    def _check_head(self) -> None:
        """Have the parser stop at a head that has come at once, but is too large."""
        limits = self._gatekeeper.limits
        size = self._pending
        if size > limits.head_bytes:  # there may be a body in it
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) > MAX_TARGET:
            self._refused = TargetTooLongError(MAX_TARGET)
        elif len(self.headers) > limits.headers or size > limits.head_bytes:
            self._refused = HeadTooLargeError(limits.headers, limits.head_bytes)
        if self._refused is not None:
            raise _RefusedError

    def _owe(self, what: Deadlines | None) -> None:
        if what is not self._owed:
            if self._owed is not None:
                self._owed.remove(self)
            self._owed = what
            if what is not None:
                what.add(self)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: AppError | None) -> None:
        """Close, and say why unless an answer has begun or another request waits for one."""
        self._owe(None)
        begun = self._is_answering()
        if self._in_body:  # a handshake has no cycle, though it may have a body
            begun = self.cycle is not None and self.cycle.response_started
        if error is not None and not begun and not self.pipeline:
            self.transport.write(refusal(error))
        self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Begin to answer a request in its turn."""
        _turns.add(partial(super()._start_asgi_task, cycle, app))

    def on_response_complete(self) -> None:
        """What is written next is the head of another answer."""
        self._speller.at_head = True
        super().on_response_complete()


class _RefusedError(Exception):
    """Raised through the parser, so that it reads no further."""


def with_host(
    headers: Iterable[tuple[bytes, bytes]], authority: bytes
) -> list[tuple[bytes, bytes]]:
    """The headers with this host instead of theirs; a second one stays, to be seen as such."""
    found = sorted(headers, key=lambda pair: pair[0] != b"host")
    rest = found[1:] if found and found[0][0] == b"host" else found
    return [(b"host", authority), *rest]


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """The host that a target names, if any, and the target without it; " HTTP/1.1" stays behind."""
    url, space, version = target.rpartition(b" ")
    try:
        scheme, authority, path, query, _ = urlsplit(url)
    except ValueError:
        return b"", target
    if not path or b" " in url:
        return b"", target
    path = b"/" + path.removeprefix(b"/") + (b"?" + query if query else b"")
    return authority if scheme else b"", path + space + version


class _Turns:
    """Lets work that has come all at once begin a little at a time.

    With fifty requests in one turn of the loop every other task would wait for all fifty.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._due = False

    def add(self, begin: Callable[[], None]) -> None:
        """Call `begin` soon, in turn."""
        self._waiting.append(begin)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._waiting.popleft()()
        self._due = bool(self._waiting)
        if self._due:
            asyncio.get_running_loop().call_soon(self._go_on)


_turns = _Turns()


class _Speller:
    """A transport that rewrites the head of each answer and passes everything else on.

    A head waits until the end of this turn of the loop, so that a body that is ready goes with it:
    one system call, and a client that is woken once.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self.at_head = True

    def write(self, data: bytes) -> None:
        # What follows the head of an upgrade is another protocol's.
        if self.at_head and (not data.startswith(_INTERIM) or data.startswith(_SWITCHING)):
            self.at_head = False
            self._head = _spelled(data)
            self._loop.call_soon(self._flush)
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)


def _spelled(head: bytes) -> bytes:
    if len(head) > SHORT:
        return _spell(head)
    mark = head.find(_OWN_ID)
    if mark < 0:
        return _known(head)
    # Without the one value that is never the same; spelling changes no length.
    begin = mark + len(_OWN_ID)
    end = head.find(b"\r\n", begin)
    spelled = _known(head[:begin] + head[end:])
    return spelled[:begin] + head[begin:end] + spelled[begin:]


def _spell(head: bytes) -> bytes:
    lines, end, body = head.partition(b"\r\n\r\n")
    return b"\r\n".join(map(_line, lines.split(b"\r\n"))) + end + body


_known = lru_cache(1024)(_spell)
"""Within a second many heads are the same to the last byte."""


@lru_cache(4096)  # the heads of answers that are counted down differ, but in one line alone
def _line(line: bytes) -> bytes:
    name, colon, value = line.partition(b": ")
    return name.title() + colon + value if colon else line
