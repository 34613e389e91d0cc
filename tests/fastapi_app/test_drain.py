"""The way out: /readyz says so, streams and sockets end, answers in flight are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from fastapi_app.draining import Draining
from tests.fastapi_app.routers.wire import NDJSON, RUNS, printed, problem, show, start
from tests.fastapi_app.starting import start_app, until
from tests.metrics import Scrape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.servers import Server

GATED = "echo > {began}; while [ ! -e {gate} ]; do sleep 0.01; done; echo done"


def ready(server: Server) -> httpx.Response:
    """What a load balancer sees, on a connection of its own."""
    return httpx.get(f"{server.new}/readyz", timeout=15)


def test_a_load_balancer_sees_it_and_nothing_in_flight_is_lost(home: Path) -> None:
    began, gate = home / "began", home / "gate"
    follow = f"{RUNS}/events?since=0"
    with (
        start_app(home, drain_delay="600", shutdown_grace="30") as server,
        server.client(timeout=30) as client,
        ThreadPoolExecutor(8) as pool,
        server.following() as socket,
    ):
        kept = start(client, "echo $$; exec sleep 60")
        kept_pid = int(printed(client, kept))
        body = {"command": GATED.format(began=began, gate=gate)}
        asking = pool.submit(client.post, f"{RUNS}/execute", json=body)
        until(began.exists)
        streams = [
            pool.submit(streamed, server, path, accept)
            for path in (follow, f"{RUNS}/{kept}/logs?follow=true", f"{RUNS}/{kept}/events")
            for accept in (NDJSON, "text/event-stream")
        ]
        # With the command, and the scrape that tells it.
        until(lambda: Scrape(server)("mcli_http_in_flight") == len(streams) + 2)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: ready(server).status_code == 503)
        problem(ready(server), 503, "draining")
        # Whoever has not noticed yet is still served.
        assert httpx.get(f"{server.new}/livez", timeout=15).status_code == 200
        assert start(client, "true")
        assert socket.recv(timeout=15)

        server.process.send_signal(signal.SIGTERM)  # noticed: the wait is over
        with contextlib.suppress(ConnectionClosed):
            for _ in socket:
                pass
        assert socket.close_code == 1012
        for stream in streams:
            assert stream.result() == 200, "it ends, and is not cut"
        with pytest.raises(httpx.ConnectError):
            ready(server)
        gate.touch()
        assert asking.result().json()["output"] == "done\n"
        assert server.process.wait(30) == 0
        assert b"Traceback" not in b"".join(server.printed)
    os.kill(kept_pid, 0)
    with start_app(home) as server, server.client() as client:
        assert show(client, kept)["status"] == "running"
        client.post(f"{RUNS}/{kept}/stop")


def streamed(server: Server, path: str, accept: str) -> int:
    """Read a stream to its end; one that is cut raises."""
    headers = server.auth | {"Accept": accept}
    with httpx.stream("GET", server.new + path, headers=headers, timeout=30) as answer:
        for _ in answer.iter_bytes():
            pass
        return answer.status_code


def test_without_a_delay_it_ends_at_once(home: Path) -> None:
    with (
        start_app(home, shutdown_grace="30") as server,
        server.following() as socket,
        httpx.stream(
            "GET", f"{server.new}{RUNS}/events?since=0", headers=server.auth, timeout=30
        ) as following,
    ):
        assert server.stop() == 0
        assert following.read() == b""
        with pytest.raises(ConnectionClosed, match="1012"):
            socket.recv(timeout=15)


def test_a_person_need_not_wait_for_load_balancers(home: Path) -> None:
    with start_app(home, drain_delay="600") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


def test_the_delay_passes(home: Path) -> None:
    with start_app(home, drain_delay="0.2") as server:
        assert server.stop() == 0


async def endless() -> AsyncGenerator[int, None]:
    yield 1
    await asyncio.Event().wait()


async def test_a_stream_that_is_cancelled_by_others_is_cancelled() -> None:
    draining, seen = Draining(), asyncio.Event()

    async def read() -> None:
        async for _ in draining.until_end(endless(), asyncio.Event().wait):
            seen.set()

    reading = asyncio.create_task(read())
    await seen.wait()
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    draining.end_streams()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()


async def test_a_stream_ends_where_it_is_and_does_not_begin_later() -> None:
    draining = Draining()
    found = []
    async for item in draining.until_end(endless(), asyncio.Event().wait):
        found.append(item)
        asyncio.get_running_loop().call_soon(draining.end_streams)
    assert found == [1]
    assert [item async for item in draining.until_end(endless(), asyncio.Event().wait)] == []


async def test_a_stream_ends_alone_when_what_it_was_begun_with_is_over() -> None:
    draining, over = Draining(), asyncio.Event()
    found = []
    async for item in draining.until_end(endless(), over.wait):
        found.append(item)
        over.set()
    assert found == [1]
    assert [item async for item in draining.until_end(endless(), over.wait)] == [1]
