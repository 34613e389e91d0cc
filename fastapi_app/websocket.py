"""WebSockets that a peer who does not read cannot hold open."""

from __future__ import annotations

import asyncio
import socket

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SEND_BUFFER = 128 * 1024
"""Bytes the kernel holds for one peer (it doubles that, for its own book-keeping)."""
ANSWERED = "websocket.http.response.body"
LAST_WORDS = 5.0
"""Seconds a peer has, that does not read, to read after all why it is dropped."""


class DroppableWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol, but closing a connection ends it within bounded time.

    To send anything, a close frame too, uvicorn waits until there is room; and it closes transports
    so that what is buffered is still written. A peer that never reads would stay for ever.
    """

    _aborting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the kernel from buffering megabytes for each peer that does not read."""
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().connection_made(transport)

    async def send(self, message: ASGISendEvent) -> None:
        """Never wait to send a close frame; an answer in the place of a handshake ends it."""
        if message["type"] == "websocket.close" and self.handshake_complete:
            self._abort_after(self.close_timeout if self.writable.is_set() else LAST_WORDS)
            self.writable.set()
            if self.close_sent:  # by the keep-alive, or because the server ends
                return
        await super().send(message)
        if message["type"] == ANSWERED and not message.get("more_body", False):
            # uvicorn would take a handshake that is refused with an answer for a failure of ours.
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        """Send the refusal of a handshake that is too large for the library; uvicorn forgets it."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def keepalive_timeout(self) -> None:
        """Say why, as far as there is room, and be done with it."""
        super().keepalive_timeout()
        self._abort_after(LAST_WORDS)

    def shutdown(self) -> None:
        """The end of the server waits for nobody either."""
        super().shutdown()
        self._abort_after(LAST_WORDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._aborting is not None:
            self._aborting.cancel()
        super().connection_lost(exc)

    def _abort_after(self, seconds: float) -> None:
        if self._aborting is None:
            self._aborting = self.loop.call_later(seconds, self.transport.abort)
