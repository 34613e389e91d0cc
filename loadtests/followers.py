"""Many WebSocket readers of one log, as cheap as they can be, and readers that never read.

A reader checks every piece against the text that must come, so nothing has to be kept. It asks for
no compression.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from loadtests.owner import TOKEN

TEXT, CLOSE, PING = 0x1, 0x8, 0x9
PONG = bytes([0x8A, 0x80])
SMALL_BUFFER = 4096


@dataclass(frozen=True)
class Text:
    """A text that repeats `period` for `length` characters, all of them ASCII."""

    period: str
    length: int

    def block(self, largest: int) -> str:
        """The period as often as it takes to compare a piece of that size at any place."""
        return self.period * (largest // len(self.period) + 2)


LARGEST_PIECE = 1024 * 1024


class Follower(asyncio.Protocol):
    """Reads the log of a run to its `end` event; `over` is the monotonic time of that.

    It is done when the server has closed, and fails with ValueError when a piece is not what must
    come, or the log ends early.
    """

    def __init__(self, url: str, run_id: str, text: Text, block: str) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[float] = loop.create_future()
        self.read = 0
        self._ended_at: float | None = None
        self._request = handshake(url, run_id)
        self._text = text
        self._block = block
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost after {self.read} characters: {exc}")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done() and not self._open():
            return
        try:
            while (frame := self._frame()) is not None:
                self._take(*frame)
        except ValueError as error:
            self._fail(str(error))

    def _open(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            self._fail(f"no WebSocket: {bytes(self._buffer[:100])!r}")
            return False
        del self._buffer[: end + 4]
        self.opened.set_result(None)
        return True

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame (RFC 6455, section 5.2), as its first byte and its payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        payload = bytes(buffer[start : start + length])
        first = buffer[0]
        del buffer[: start + length]
        return first, payload

    def _take(self, first: int, payload: bytes) -> None:
        assert self._transport is not None
        if first & 0x0F == PING:
            # A mask of zeros changes nothing, and is a mask.
            pong = bytes([PONG[0], PONG[1] | len(payload)]) + bytes(4) + payload
            self._transport.write(pong)
        elif first & 0x0F == CLOSE:
            if self._ended_at is not None and not self.over.done():
                self.over.set_result(self._ended_at)
            self._fail(f"closed with {int.from_bytes(payload[:2], 'big')}")
        elif first != 0x80 | TEXT:
            raise ValueError(f"an unexpected frame: {first:#x}")
        else:
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        event = json.loads(payload)
        if event["type"] == "log":
            piece = event["message"]
            if not self._block.startswith(piece, self.read % len(self._text.period)):
                raise ValueError(f"not what was printed, after {self.read} characters")
            self.read += len(piece)
        elif event["type"] == "end":
            if self.read != self._text.length:
                raise ValueError(f"{self.read} characters instead of {self._text.length}")
            self._ended_at = time.monotonic()

    def _fail(self, problem: str) -> None:
        """Close; whoever still waits is told why."""
        for future in (self.opened, self.over):
            if not future.done():
                future.set_exception(ValueError(problem))
                future.exception()  # nobody may have come to wait for it yet
        if self._transport is not None:
            self._transport.abort()


async def follow(url: str, run_id: str, text: Text, number: int) -> list[Follower]:
    """Open so many readers; they have been accepted when this returns."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    block = text.block(min(LARGEST_PIECE, text.length))
    followers: list[Follower] = []
    for _ in range(number):
        _, follower = await loop.create_connection(
            lambda: Follower(url, run_id, text, block), parts.hostname or "", parts.port or 80
        )
        followers.append(follower)
    await asyncio.gather(*(follower.opened for follower in followers))
    return followers


def sleepers(url: str, run_id: str, number: int) -> list[socket.socket]:
    """Open so many readers that never read; the kernel takes little on their behalf."""
    parts = urlsplit(url)
    opened = []
    for _ in range(number):
        wire = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        wire.connect((parts.hostname, parts.port))
        wire.sendall(handshake(url, run_id))
        opened.append(wire)
    return opened


def handshake(url: str, run_id: str) -> bytes:
    """The request for the log of a run (RFC 6455, section 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/workflows/{run_id}/logs HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
