"""Serves an ASGI application on a real socket, inside the test process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from fastapi_app.http1 import TolerantHttp
from fastapi_app.serve import bind


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the test process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def served(app: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - any ASGI application
    """The address of `app` while the context lasts."""
    listener = bind("127.0.0.1", 0, "port")
    config = uvicorn.Config(
        app, http=TolerantHttp, ws="websockets-sansio", lifespan="off", log_level="warning"
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert server.listening.wait(10)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(10)


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send raw bytes and read until the server closes."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))
