"""Output of 100 MB: the answer is cut, the file whole, and the server stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fastapi_app.routers.wire import RUNS, events, execute, show, start
from tests.memory import growing_less_than

if TYPE_CHECKING:
    import httpx

    from tests.servers import Server

SIZE = 100_000_000
PRINT = f"yes 0123456789abcdef | head -c {SIZE}"
GROWTH = 50_000_000


@pytest.fixture(scope="module")
def big(client: httpx.Client, server: Server) -> str:
    """The id of a run that has printed 100 MB."""
    with growing_less_than(GROWTH, server.pid):
        answer = execute(client, PRINT)
    assert (len(answer["output"]), answer["truncated"]) == (1000, True)
    return str(answer["job_id"])


def test_the_file_is_whole(client: httpx.Client, server: Server, big: str) -> None:
    assert show(client, big)["stdout_bytes"] == SIZE
    assert (server.home / "logs" / f"{big}.out").stat().st_size == SIZE


def test_the_log_is_streamed(client: httpx.Client, server: Server, big: str) -> None:
    with (
        growing_less_than(GROWTH, server.pid),
        client.stream("GET", f"{RUNS}/{big}/logs") as answer,
    ):
        assert sum(map(len, answer.iter_raw())) == SIZE


def test_a_slow_reader_does_not_fill_the_server(
    client: httpx.Client, server: Server, big: str
) -> None:
    with (
        growing_less_than(GROWTH, server.pid),
        client.stream("GET", f"{RUNS}/{big}/logs?follow=1") as answer,
    ):
        chunks = answer.iter_raw(1000)
        assert len(next(chunks)) == 1000
        assert client.get("/livez").status_code == 200


def test_events_are_streamed_while_it_prints(client: httpx.Client, server: Server) -> None:
    run_id = start(client, PRINT.replace(str(SIZE), str(SIZE // 4)))
    headers = {"Accept": "application/x-ndjson"}
    with (
        growing_less_than(GROWTH, server.pid),
        client.stream("GET", f"{RUNS}/{run_id}/logs?follow=1", headers=headers) as answer,
    ):
        said = events(answer)
    assert sum(len(event["message"]) for event in said[:-1]) == SIZE // 4
    assert said[-1]["offset"] == SIZE // 4
