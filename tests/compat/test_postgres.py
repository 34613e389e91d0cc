"""The cut-over of two servers on one PostgreSQL: what one is told, the other does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compat.test_rollout import API, ROUTE, begin, load
from tests.compat.test_rollout import until as until_rollout
from tests.servers import Server, start_dual

SECOND = 1.0


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    """Two servers that begin at the same moment on an empty database."""
    settings = {"MCLI_DATABASE_URL": postgres_url, "MCLI_DEFAULT_STAGE": "legacy"}

    def begin(name: str) -> Server:
        return start_dual(tmp_path / name, **settings)

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        servers = [stack.enter_context(server) for server in pool.map(begin, ("one", "two"))]
        yield servers
        for server in servers:
            assert server.stop() == 0
            assert b"Traceback" not in b"".join(server.printed), b"".join(server.printed).decode()


def until(found: Callable[[], Any], within: float = 20) -> Any:  # noqa: ANN401
    """Ask until there is something."""
    deadline = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    return value


def move(server: Server, route: str, stage: str, **more: object) -> httpx.Response:
    return httpx.put(
        f"{server.new}{API}/routes",
        headers=server.auth,
        json={"route": route, "stage": stage, **more},
    )


def stack(server: Server) -> str:
    return httpx.get(f"{server.legacy}/status").headers["X-Served-By"]


def stats(server: Server) -> Any:  # noqa: ANN401
    return httpx.get(
        f"{server.new}{API}/stats", headers=server.auth, params={"route": ROUTE}
    ).json()[0]


def test_a_move_holds_on_both_within_a_second(pair: list[Server]) -> None:
    one, two = pair
    for here, there, stage in ((one, two, "new"), (two, one, "legacy")):
        moved = move(here, ROUTE, stage, by="me")
        assert moved.status_code == 200, moved.text
        at = time.monotonic()
        until(lambda: stack(there) == stage)  # noqa: B023 - it is called at once
        assert time.monotonic() - at < SECOND
        assert stack(here) == stage
    audit = httpx.get(f"{one.new}{API}/audit", headers=one.auth).json()
    assert [(entry["before"], entry["after"]) for entry in audit] == [
        ("new", "legacy"),
        ("legacy", "new"),
    ]


def test_two_operators_at_once_move_it_once(pair: list[Server]) -> None:
    revision = httpx.get(f"{pair[0].new}{API}/routes", headers=pair[0].auth).json()[0]["revision"]
    route = httpx.get(f"{pair[0].new}{API}/routes", headers=pair[0].auth).json()[0]["route"]
    with ThreadPoolExecutor(8) as pool:
        moves = [
            pool.submit(move, pair[number % 2], route, "shadow", revision=revision)
            for number in range(8)
        ]
        statuses = sorted(answer.result().status_code for answer in moves)
    assert statuses == [200] + [409] * 7


def test_what_both_have_counted_is_told_as_one(pair: list[Server]) -> None:
    one, two = pair
    assert move(one, ROUTE, "shadow").status_code == 200
    until(lambda: all(_stage(server) == "shadow" for server in pair))
    for server in pair:
        for _ in range(30):
            httpx.get(f"{server.legacy}/status", headers={"X-Client-Id": "nightly"})
    for server in pair:
        until(lambda: stats(server)["legacy"]["requests"] == 60)  # noqa: B023 - called at once
    until(lambda: stats(two)["shadow"]["compared"] == 60)
    callers = until(lambda: httpx.get(f"{two.new}{API}/callers", headers=two.auth).json())
    assert {caller["route"] for caller in callers} == {ROUTE}
    until(lambda: _called(one) == 60)


def _stage(server: Server) -> str:
    rows = httpx.get(f"{server.new}{API}/routes", headers=server.auth).json()
    stage: str = next(row["stage"] for row in rows if row["route"] == ROUTE)
    return stage


def _called(server: Server) -> int:
    found = httpx.get(f"{server.new}{API}/callers", headers=server.auth).json()
    return sum(caller["count"] for caller in found)


def test_a_rollout_goes_on_when_the_server_that_began_it_is_killed(pair: list[Server]) -> None:
    one, two = pair
    with (
        one.client(timeout=30) as first,
        two.client(timeout=30) as second,
        load(two.legacy),
    ):
        rollout = begin(first)
        until_rollout(second, rollout, lambda found: found["step"] > 0)
        one.kill()
        found = until_rollout(second, rollout, lambda found: found["ended_at"] is not None)
    assert (found["phase"], _stage(two)) == ("completed", "new")
    del pair[0]
