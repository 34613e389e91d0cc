"""Output of 100 MB: the answer is cut, the file whole, and the server stays small."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fastapi_app.routers.wire import RUNS, events, execute, show, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.servers import Server

SIZE = 100_000_000
PRINT = f"yes 0123456789abcdef | head -c {SIZE}"
GROWTH = 50_000_000


@contextmanager
def staying_small(server: Server) -> Iterator[None]:
    """The server's memory must not grow by more than a part of what passes through."""
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    peak, over = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert peak - before < GROWTH


@pytest.fixture(scope="module")
def big(client: httpx.Client, server: Server) -> str:
    """The id of a run that has printed 100 MB."""
    with staying_small(server):
        answer = execute(client, PRINT)
    assert (len(answer["output"]), answer["truncated"]) == (1000, True)
    return str(answer["job_id"])


def test_the_file_is_whole(client: httpx.Client, server: Server, big: str) -> None:
    assert show(client, big)["stdout_bytes"] == SIZE
    assert (server.home / "logs" / f"{big}.out").stat().st_size == SIZE


def test_the_log_is_streamed(client: httpx.Client, server: Server, big: str) -> None:
    with staying_small(server), client.stream("GET", f"{RUNS}/{big}/logs") as answer:
        assert sum(map(len, answer.iter_raw())) == SIZE


def test_a_slow_reader_does_not_fill_the_server(
    client: httpx.Client, server: Server, big: str
) -> None:
    with staying_small(server), client.stream("GET", f"{RUNS}/{big}/logs?follow=1") as answer:
        chunks = answer.iter_raw(1000)
        assert len(next(chunks)) == 1000
        assert client.get("/livez").status_code == 200


def test_events_are_streamed_while_it_prints(client: httpx.Client, server: Server) -> None:
    run_id = start(client, PRINT.replace(str(SIZE), str(SIZE // 4)))
    headers = {"Accept": "application/x-ndjson"}
    with (
        staying_small(server),
        client.stream("GET", f"{RUNS}/{run_id}/logs?follow=1", headers=headers) as answer,
    ):
        said = events(answer)
    assert sum(len(event["message"]) for event in said[:-1]) == SIZE // 4
    assert said[-1]["offset"] == SIZE // 4
