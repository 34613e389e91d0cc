"""The hardened mount, each point over a real socket with a WSGI application made for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from compat.wsgi import Mount
from fastapi_app.leaving import ClientLeftError
from tests.compat.serving import exchange, served

LIMIT = 1024


class Old:
    """A WSGI application that remembers its calls and waits where it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Event()
        self.left = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        match environ["PATH_INFO"]:
            case "/wait":
                self.entered.release()
                assert self.leave.wait(10)
                return [b"waited"]
            case "/endless":
                return self._endless()
            case "/environ":
                strings = {k: v for k, v in environ.items() if isinstance(v, str)}
                return [json.dumps(strings).encode()]
            case _:
                body = environ["wsgi.input"].read()
                self.bodies.append(body)
                return [json.dumps(len(body)).encode()]

    def _endless(self) -> Iterator[bytes]:
        self.entered.release()
        try:
            while True:
                yield b"x" * 65536
        finally:
            self.left.set()


class Mounted:
    """The mount as the gateway calls it: a client that leaves is no error."""

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self.abandoned = threading.Event()

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        try:
            await self.mount(scope, receive, send)  # type: ignore[arg-type]
        except ClientLeftError:
            self.abandoned.set()


@pytest.fixture
def old() -> Iterator[Old]:
    application = Old()
    yield application
    application.leave.set()


@pytest.fixture
async def mounted(old: Old) -> AsyncIterator[Mounted]:
    mount = Mount(lambda: old, threads=2, queue=1, limit=LIMIT)
    await mount.ready()
    yield Mounted(mount)
    old.leave.set()
    await mount.aclose()


@pytest.fixture
def address(mounted: Mounted) -> Iterator[tuple[str, int]]:
    with served(mounted) as found:
        yield found


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def test_a_chunked_body_arrives_whole(old: Old, address: tuple[str, int]) -> None:
    head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(address, head.encode() + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    assert old.bodies == [b"abcdefg"]
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_half_sent_body_never_reaches_the_application(
    old: Old, mounted: Mounted, address: tuple[str, int]
) -> None:
    for request in (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ):
        mounted.abandoned.clear()
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(request)
        assert mounted.abandoned.wait(10)
    assert old.bodies == []
    assert mounted.mount.saturation.busy == 0


def test_a_body_over_the_limit_is_not_read(old: Old, address: tuple[str, int]) -> None:
    """The application sees a length over its own limit and nothing to read."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {LIMIT * 2}\r\n\r\n"
    exchange(address, head.encode() + b"x" * LIMIT * 2)
    assert old.bodies == [b""]


def test_calls_beyond_threads_and_queue_are_shed(
    old: Old, mounted: Mounted, address: tuple[str, int]
) -> None:
    with ThreadPoolExecutor(3) as clients:
        waiting = [clients.submit(exchange, address, get("/wait")) for _ in range(2)]
        assert old.entered.acquire(timeout=10)
        assert old.entered.acquire(timeout=10)
        waiting.append(clients.submit(exchange, address, get("/wait")))
        while mounted.mount.saturation.waiting == 0:
            assert not waiting[-1].done()
        shed = exchange(address, get("/wait"))
        assert shed.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in shed
        assert b'{"error":"server is busy"}\n' in shed
        full = mounted.mount.saturation
        assert (full.threads, full.busy, full.waiting, full.shed) == (2, 2, 1, 1)
        old.leave.set()
        assert all(w.result(10).startswith(b"HTTP/1.1 200") for w in waiting)


def test_a_client_that_goes_away_frees_its_thread(old: Old, address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(get("/endless"))
        assert old.entered.acquire(timeout=10)
        connection.recv(1000)
    assert old.left.wait(10)


def test_a_client_that_never_reads_and_leaves_frees_its_thread(
    old: Old, address: tuple[str, int]
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(get("/endless"))
        assert old.entered.acquire(timeout=10)
        assert not old.left.wait(0.2)
    assert old.left.wait(10)


def test_underscore_headers_do_not_pass_for_dashed_ones(address: tuple[str, int]) -> None:
    answer = exchange(address, get("/environ", "X-Role: user", "X_Role: admin"))
    environ = json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[1])
    assert environ["HTTP_X_ROLE"] == "user"


def test_of_several_content_types_the_last_counts(address: tuple[str, int]) -> None:
    answer = exchange(address, get("/environ", "Content-Type: a/b", "Content-Type: c/d"))
    environ = json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[1])
    assert environ["CONTENT_TYPE"] == "c/d"


def test_a_query_with_raw_bytes_is_carried(address: tuple[str, int]) -> None:
    answer = exchange(address, get("/environ?a=\xe9&b=%20+c"))
    environ = json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[1])
    assert environ["QUERY_STRING"] == "a=%E9&b=%20+c"
