"""One exchange between a client and a stack: its answer announced, timed, and kept if wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Receive, Send

from compat.diff import Answer
from compat.headers import Headers, with_announcement

LARGEST = 256 * 1024
"""Bytes of a body up to which it is kept; a longer one is not compared."""


class Kept:
    """A body on its way, kept as long as it is not too large."""

    __slots__ = ("_pieces", "_size", "started", "whole")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.started = False
        self.whole = False

    def add(self, message: Message) -> None:
        """Take the next piece."""
        self.started = True
        piece = message.get("body", b"")
        self._size += len(piece)
        if self._size <= LARGEST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        self.whole = not message.get("more_body", False)

    @property
    def body(self) -> bytes | None:
        """All of it; `None` when it was too large, or has not ended."""
        return b"".join(self._pieces) if self.whole and self._size <= LARGEST else None


class Answering:
    """What sends an answer: adds the announcement, and remembers what it was."""

    __slots__ = ("_announcement", "_kept", "_send", "headers", "status")

    def __init__(self, send: Send, announcement: Headers, kept: Kept | None = None) -> None:
        self._send = send
        self._announcement = announcement
        self._kept = kept
        self.status = 0
        self.headers: Iterable[tuple[bytes, bytes]] = ()

    async def __call__(self, message: Message) -> None:
        """Send a message of the answer on."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            message["headers"] = with_announcement(self.headers, self._announcement)
        elif self._kept is not None:
            self._kept.add(message)
        await self._send(message)

    @property
    def answer(self) -> Answer | None:
        """The answer without the announcement; `None` when it was not kept."""
        body = self._kept.body if self._kept is not None else None
        return None if body is None else Answer(self.status, list(self.headers), body)


def keeping(receive: Receive, kept: Kept) -> Receive:
    """The same, with the body that comes kept."""

    async def receive_and_keep() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            kept.add(message)
        return message

    return receive_and_keep


def replaying(body: bytes) -> Receive:
    """A client that sends this body, and then waits."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def nobody(_message: Message) -> None:
    """Where an answer goes that no client waits for."""
