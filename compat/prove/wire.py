"""A client that sends bytes as they are and reads answers as they come: HTTP/1.1, no more."""

from __future__ import annotations

import re
import socket
from typing import Self

from compat.diff import Answer
from compat.prove.cases import Request

PIECE = 65536
LONGEST_HEAD = 1024 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r|$)")
NO_BODY = {204, 304}


class NoAnswerError(Exception):
    """The server closed, fell silent or sent what is no HTTP; the message says which."""


class Client:
    """Sends requests to one server in turn, over one connection for as long as it lasts."""

    def __init__(self, address: tuple[str, int], timeout: float = 60.0) -> None:
        """Wait at most `timeout` seconds for each piece of an answer."""
        self._address = address
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def ask(self, request: Request) -> Answer:
        """Send a request and return its answer; status 0 when there was none.

        A connection that the server closed meanwhile is opened anew, once.
        """
        wire, head_only = request.wire(), request.method.upper() == b"HEAD"
        reused = self._socket is not None
        try:
            try:
                return self._exchange(wire, request, head_only=head_only)
            except NoAnswerError:
                if not reused or self._buffer:
                    raise
                self.close()
                return self._exchange(wire, request, head_only=head_only)
        except NoAnswerError as error:
            self.close()
            return Answer(0, (), str(error).encode())

    def _exchange(self, wire: bytes, request: Request, *, head_only: bool) -> Answer:
        try:
            self._send(wire)
            status, headers, keeps = self._head()
            while 100 <= status < 200 and status != 101:
                status, headers, keeps = self._head()
            bodiless = head_only or status in NO_BODY
            body, delimited = (b"", True) if bodiless else self._body(headers)
        except OSError as error:
            raise NoAnswerError(f"no answer: {type(error).__name__}") from error
        asked = b",".join(request.values(b"connection")).lower()
        once = request.version != b"HTTP/1.1" or request.method == b"CONNECT"
        if not (keeps and delimited) or b"close" in asked or once:
            self.close()
        return Answer(status, headers, body)

    def _send(self, wire: bytes) -> None:
        connection = self._connected()
        try:
            connection.sendall(wire)
        except (BrokenPipeError, ConnectionResetError):
            # A server may answer, and close, before it has read everything.
            if connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                raise

    def _head(self) -> tuple[int, tuple[tuple[bytes, bytes], ...], bool]:
        """Status, headers, and whether the connection is kept."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > LONGEST_HEAD:
                raise NoAnswerError("the head of the answer has no end")
            self._more()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        first, *lines = head.split(b"\r\n")
        found = _STATUS.match(first)
        if found is None:
            raise NoAnswerError(f"no HTTP: {first[:80]!r}")
        headers = []
        keeps = first.startswith(b"HTTP/1.1")
        for line in lines:
            name, _, value = line.partition(b":")
            value = value.strip(b" \t")
            headers.append((name, value))
            if name.lower() == b"connection":
                keeps = value.lower() != b"close"
        return int(found[1]), tuple(headers), keeps

    def _body(self, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[bytes, bool]:
        """The body, and whether its end was told."""
        for name, value in headers:
            lower = name.lower()
            if lower == b"transfer-encoding" and value.lower() == b"chunked":
                return self._chunked(), True
            if lower == b"content-length":
                if not value.isdigit():
                    raise NoAnswerError(f"no length: {value[:80]!r}")
                return self._take(int(value)), True
        pieces = [self._buffer]
        self._buffer = b""
        while piece := self._receive():
            pieces.append(piece)
        return b"".join(pieces), False

    def _chunked(self) -> bytes:
        pieces = []
        while True:
            line = self._line().partition(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise NoAnswerError(f"no size of a chunk: {line[:80]!r}") from None
            if size == 0:
                break
            pieces.append(self._take(size))
            self._line()
        while self._line():
            pass
        return b"".join(pieces)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _take(self, size: int) -> bytes:
        if len(self._buffer) < size:
            pieces, have = [self._buffer], len(self._buffer)
            while have < size:
                piece = self._receive()
                if not piece:
                    self._buffer = b"".join(pieces)
                    raise NoAnswerError(f"closed after {have} of {size} bytes")
                pieces.append(piece)
                have += len(piece)
            self._buffer = b"".join(pieces)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        piece = self._receive()
        if not piece:
            raise NoAnswerError("closed without an answer")
        self._buffer += piece

    def _receive(self) -> bytes:
        return self._connected().recv(PIECE)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket
