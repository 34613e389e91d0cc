"""The load generator: what it counts, and what it does when a server misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest

from loadtests.hammer import Figures, Plan, hammer, main, parse_head, percentile, plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from loadtests.servers import Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Run(Protocol):
    def __call__(self, *args: str, exits: int = 0) -> dict[str, Any]: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run it as the command line would, and return what it prints."""

    def call(*args: str, exits: int = 0) -> dict[str, Any]:
        assert main(args) == exits
        figures: dict[str, Any] = json.loads(capsys.readouterr().out)
        return figures

    return call


@contextlib.asynccontextmanager
async def serving(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A server that answers each request, until a connection ends, by calling `answer`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def hammered(port: int, **wanted: Any) -> Figures:  # noqa: ANN401 - fields of a plan
    """So many requests on two connections."""
    given: dict[str, Any] = {"count": 6, "connections": 2} | wanted
    return await hammer(Plan("127.0.0.1", port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", **given))


def test_counts_exactly_and_keeps_its_connections(limit: str, run: Run) -> None:
    args = ("-X", "POST", "--data", '{"command": "true"}', "--expect", '"success":true')
    figures = run(f"{limit}/execute", "-n", "500", "-c", "5", *args)
    assert (figures["requests"], figures["errors"], figures["connects"]) == (500, 0, 5)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert figures["throughput"] == pytest.approx(500 / figures["seconds"], rel=0.05)


def test_lasts_as_long_as_asked_after_its_warm_up(limit: str, run: Run) -> None:
    figures = run(f"{limit}/status", "-d", "0.3", "--warmup", "0.2")
    assert figures["seconds"] == pytest.approx(0.3, abs=0.2)
    assert figures["requests"] > 50
    assert figures["connects"] == 0


def test_opens_a_connection_for_each_request_where_the_server_closes(old: Server, run: Run) -> None:
    url = f"{old.urls['legacy daemon']}/status"
    figures = run(url, "-n", "30", "-c", "3", "--expect", '"running":true')
    assert (figures["requests"], figures["errors"], figures["connects"]) == (30, 0, 30)


def test_a_wrong_answer_is_an_error(limit: str, run: Run) -> None:
    figures = run(f"{limit}/status", "-n", "5", "--expect", '"running":false', exits=1)
    assert figures["error_kinds"] == {'answer without "running":false': 5}
    assert run(f"{limit}/nothing", "-n", "5", exits=1)["error_kinds"] == {"status 404": 5}
    assert run(f"{limit}/nothing", "-n", "5", "--status", "404")["errors"] == 0


def test_nobody_listens(unused_tcp_port: int, run: Run) -> None:
    figures = run(f"http://127.0.0.1:{unused_tcp_port}/", "-n", "2", exits=1)
    assert (figures["requests"], figures["throughput"], figures["errors"]) == (0, 0.0, 2)


async def test_takes_answers_that_come_in_pieces() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async with serving(answer) as port:
        figures = await hammered(port, expected=(b"hi",))
    assert (figures.requests, figures.errors, figures.connects) == (6, 0, 2)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (OK[:-1], "connection lost: closed by the server"),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", "answer without Content-Length"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP/1"),
        (OK + b"more", "more bytes than the answer has"),
    ],
)
async def test_a_broken_answer_is_an_error_and_the_next_one_counts(raw: bytes, error: str) -> None:
    answers = [raw]

    async def answer(writer: asyncio.StreamWriter) -> None:
        if answers:
            writer.write(answers.pop())
            await writer.drain()
            writer.close()
        else:
            writer.write(OK)

    async with serving(answer) as port:
        figures = await hammered(port)
    assert (figures.requests, figures.error_kinds) == (5, {error: 1})


async def test_an_answer_that_never_comes_is_given_up() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        pass

    async with serving(answer) as port:
        figures = await hammered(port, count=2, patience=0.2)
    assert (figures.requests, figures.error_kinds) == (0, {"no answer within 0.2 s": 2})


async def test_bodies_of_right_answers_are_kept() -> None:
    answers = [OK.replace(b"hi", b"no"), OK]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop())

    async with serving(answer) as port:
        plan = Plan(
            "127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n", expected=(b"hi",), count=2, connections=1
        )
        bodies: list[bytes] = []
        figures = await hammer(plan, bodies)
    assert (figures.requests, figures.errors, bodies) == (1, 1, [b"hi"])


def test_head() -> None:
    assert parse_head(b"HTTP/1.1 202 Accepted\r\nCONTENT-length:  12") == (202, 12, True)
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close"
    assert parse_head(closing) == (200, 0, False)
    assert parse_head(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nX: y") == (200, 3, False)
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3"
    assert parse_head(kept) == (200, 3, True)
    with pytest.raises(ValueError, match="Content-Length"):
        parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")


def test_percentiles_are_nearest_rank() -> None:
    seconds = [n / 1000 for n in range(1, 101)]
    assert [percentile(seconds, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([0.002], 0.5) == 2
    assert percentile([], 0.5) == 0


def test_request_as_sent() -> None:
    plan = plan_of(["http://127.0.0.1:1/a?b=c", "-X", "POST", "--data", '"ä"'])
    head, _, body = plan.request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert b"Content-Length: 4" in head
    assert body == '"ä"'.encode()
    assert urlsplit("http://127.0.0.1:1").port == plan.port


@pytest.mark.parametrize(
    "args", [["ftp://x"], ["http://x/", "-c", "0"], ["http://x/", "-d", "601"]]
)
def test_nonsense_is_refused(args: list[str]) -> None:
    with pytest.raises(SystemExit):
        plan_of(args)
