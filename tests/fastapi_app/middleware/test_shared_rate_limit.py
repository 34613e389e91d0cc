"""One limit for four server processes, counted in Redis, which may go and come back."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from fastapi_app.identity import SCOPES
from fastapi_app.limiter import Limiter
from fastapi_app.windows import Policy
from tests.fastapi_app.routers.wire import COMMANDS, RUNS
from tests.fastapi_app.starting import start_app, until
from tests.redis_server import RedisServer, running
from tests.servers import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.servers import Server

LIMIT = 60
TRIES = 40
"""Requests to each of the four."""
EXACTLY = {200: LIMIT, 429: 4 * TRIES - LIMIT}
WITHOUT = b"Redis does not answer"
AGAIN = b"Redis answers again"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that tests end, and start again."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def servers(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Four processes that count in it: so many requests an hour to each route."""
    folder = tmp_path_factory.mktemp("servers")

    shared = {
        "rate_limit": f"{LIMIT}/hour",
        "redis_url": redis.url,
        "database_url": f"sqlite+aiosqlite:///{folder}/shared.db",
        "secret_key": "one that all four processes share",
    }

    def start(number: int) -> Server:
        return start_app(folder / str(number), **shared)

    with ThreadPoolExecutor(4) as pool, contextlib.ExitStack() as stack:
        started = list(pool.map(start, range(4)))
        for server in started:
            stack.enter_context(server)
        yield started
        for server in started:
            assert server.stop() == 0
            assert b"Traceback" not in b"".join(server.printed), b"".join(server.printed).decode()


@pytest.fixture(scope="module")
def caller(servers: list[Server]) -> dict[str, str]:
    """A program that is known to all four; their owners have no limit."""
    with servers[0].client() as client:
        body = {"name": "flood", "scopes": [s for s in SCOPES if s.endswith(":read")]}
        key = client.post("/api/v1/auth/keys", json=body).json()["key"]
    return {"Authorization": f"Bearer {key}"}


def flood(servers: Sequence[Server], path: str, caller: dict[str, str]) -> Counter[int]:
    """How often each status was answered when two clients of each server ask as fast as they can.

    A route has its limit for an hour, so no two tests ask the same.
    """

    def ask(server: Server) -> list[int]:
        with httpx.Client(base_url=server.new, headers=caller, timeout=30) as client:
            return [client.get(path).status_code for _ in range(TRIES // 2)]

    with ThreadPoolExecutor(8) as pool:
        return Counter(status for some in pool.map(ask, [*servers, *servers]) for status in some)


def wait_until_shared(servers: Sequence[Server]) -> None:
    """Until each has noticed that Redis was gone, and that it is back."""
    said = [server.printed for server in servers]
    until(lambda: all(any(WITHOUT in line for line in lines) for lines in said))
    until(lambda: all(times(AGAIN, lines) == times(WITHOUT, lines) for lines in said))


def times(words: bytes, lines: Sequence[bytes]) -> int:
    return sum(words in line for line in lines)


def test_four_processes_pass_exactly_the_limit_also_after_redis_was_gone(
    redis: RedisServer, servers: list[Server], caller: dict[str, str]
) -> None:
    assert flood(servers, f"{COMMANDS}/list", caller) == EXACTLY

    # While it is gone each process counts for itself.
    redis.kill()
    assert flood(servers, f"{RUNS}/list", caller) == {200: 4 * TRIES}

    redis.start()
    wait_until_shared(servers)
    assert flood(servers, "/api/v1/groups", caller) == EXACTLY


def test_redis_that_goes_in_the_middle_fails_no_request(
    redis: RedisServer, servers: list[Server], caller: dict[str, str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood, servers, "/api/v1/daemon/status", caller)
        with httpx.Client(base_url=servers[0].new, headers=caller, timeout=30) as client:
            assert client.get(f"{RUNS}/x").headers["RateLimit"]
        redis.kill()
        answered = flooding.result()
    assert answered.keys() <= {200, 429}
    assert answered[200] >= LIMIT
    assert flood(servers, "/livez", caller).keys() == {200}
    redis.start()
    wait_until_shared(servers)


def test_redis_that_hangs_holds_nobody_up(
    redis: RedisServer, servers: list[Server], caller: dict[str, str]
) -> None:
    assert flood(servers[:1], "/readyz", caller) == {200: TRIES}
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        assert flood(servers, "/readyz", caller).keys() == {200}
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    wait_until_shared(servers)
    # What it had taken in, but not answered, it counts now.
    assert flood(servers, "/readyz", caller)[200] <= LIMIT - TRIES
    assert flood(servers, f"{RUNS}/status", caller) == EXACTLY


async def test_what_is_left_and_until_when_is_the_same_for_all(redis_url: str) -> None:
    policy = Policy("default", 3, 60)
    async with Limiter(redis_url) as one, Limiter(redis_url) as other:
        first = await one.hit(policy, "x")
        assert (first.left, first.resets) == (2, 60)
        assert (await other.hit(policy, "y")).left == 2
        seen = await other.hit(policy, "x")
        assert seen.left == 1
        assert 50 < seen.resets <= 60
        assert [(await one.hit(policy, "x")).left for _ in range(2)] == [0, -1]
        assert one.fallbacks == other.fallbacks == 0


async def test_a_request_that_was_counted_in_memory_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as redis:
        url = redis.url
    told: list[int] = []
    async with Limiter(url) as limiter:
        limiter.on_fallback = lambda: told.append(limiter.fallbacks)
        policy = Policy("default", 1, 60)
        assert [(await limiter.hit(policy, "x")).left for _ in range(3)] == [0, -1, -2]
    assert told == [1, 2, 3]


def test_a_url_that_leads_nowhere_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"MCLI_REDIS_URL \(redis_url\): .*port") as told:
        start_app(tmp_path / "home", redis_url="redis://:s3cret@127.0.0.1:port/0")
    assert "s3cret" not in str(told.value)
    assert "Traceback" not in str(told.value)


async def test_redis_may_be_a_file(tmp_path: Path) -> None:
    with running(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")):
        async with Limiter(f"unix://{tmp_path}/redis.sock") as limiter:
            assert (await limiter.hit(Policy("default", 3, 60), "x")).left == 2
            assert limiter.fallbacks == 0
