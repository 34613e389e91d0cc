"""What every scenario needs: how much of everything, a server of its own, a load on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.calls import Call
from loadtests.figures import Figure
from loadtests.hammer import Figures, Plan, hammer, request_bytes
from loadtests.homes import new_home
from loadtests.servers import Launch, Server, dual

DUAL = dual("new")


@dataclass(frozen=True)
class Scale:
    """How much of everything. Times are seconds, sizes bytes."""

    rounds: int
    start_seconds: float
    sleeps: int
    sleep_seconds: float
    sleep_target: float
    followers: int
    lines: int
    idle: int
    log_bytes: int
    kills: int
    calls: int


FULL = Scale(
    rounds=5,
    start_seconds=2.0,
    sleeps=1000,
    sleep_seconds=3.0,
    sleep_target=4.5,
    followers=500,
    lines=10_000,
    idle=50,
    log_bytes=1_000_000_000,
    kills=200,
    calls=1000,
)
QUICK = Scale(
    rounds=2,
    start_seconds=0.7,
    sleeps=200,
    sleep_seconds=1.0,
    sleep_target=1.5,
    followers=100,
    lines=2_000,
    idle=10,
    log_bytes=100_000_000,
    kills=3,
    calls=1000,
)


@dataclass(frozen=True)
class Scenario:
    """`explain` says what is measured how, with the numbers of that scale.

    One that is not `brief` is left out of a short run.
    """

    key: str
    title: str
    explain: Callable[[Scale], str]
    run: Callable[[Scale], list[Figure]]
    brief: bool = True


@contextmanager
def serving(launch: Launch = DUAL) -> Iterator[tuple[Server, Path]]:
    """Start a server on a home of its own."""
    home = new_home("scenario")
    with launch.start(home) as server:
        yield server, home


def send(
    url: str, call: Call, *, connections: int, count: int | None = None, seconds: float = 0.0
) -> tuple[Figures, list[bytes]]:
    """Load a server with one call; the figures, and the bodies of the right answers."""
    body = None if call.body is None else json.dumps(call.body)
    plan = Plan(
        host=urlsplit(url).hostname or "",
        port=urlsplit(url).port or 80,
        request=request_bytes(urlsplit(url + call.path), call.method, body),
        status=call.status,
        expected=tuple(fragment.encode() for fragment in call.fragments),
        connections=connections,
        count=count,
        seconds=seconds,
    )
    bodies: list[bytes] = []
    return uvloop.run(hammer(plan, bodies)), bodies
