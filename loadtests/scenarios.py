"""What no rate can show: each scenario has a server of its own and comes back with figures.

A scenario that is kept from its end raises; what it measured on the way is then worth nothing.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests import chaos, seed
from loadtests.api import RUNS, Api
from loadtests.calls import NEW_API, OLD_CONTRACT, Call
from loadtests.figures import Figure
from loadtests.hammer import Figures, Plan, hammer, percentile, request_bytes
from loadtests.homes import new_home
from loadtests.memory import Growth
from loadtests.reading import big_log, many_followers
from loadtests.servers import WATCHED, Launch, Server, dual

DUAL = dual("new")
WITHIN = 120.0  # seconds for what takes a few; only a hang takes that long


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
)
QUICK = Scale(
    rounds=3,
    start_seconds=0.7,
    sleeps=200,
    sleep_seconds=1.0,
    sleep_target=1.5,
    followers=100,
    lines=2_000,
    idle=10,
    log_bytes=100_000_000,
    kills=3,
)


@dataclass(frozen=True)
class Scenario:
    """`explain` says what is measured how, with the numbers of that scale."""

    key: str
    title: str
    explain: Callable[[Scale], str]
    run: Callable[[Scale], list[Figure]]


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


def acknowledged(scale: Scale) -> list[Figure]:
    """Kill the server amid starts, and look for each one that was acknowledged."""
    answered, missing = [], []
    for dialect, listens_as in ((OLD_CONTRACT, "legacy API"), (NEW_API, "new API")):
        with serving() as (server, home):
            seed.plant(home, "loadtest-true", "true\n")
            killer = threading.Timer(scale.start_seconds, server.kill)
            killer.start()
            # A little longer than the server lives, so that it dies with requests in flight.
            figures, bodies = send(
                server.urls[listens_as],
                dialect.start("loadtest-true"),
                connections=10,
                seconds=scale.start_seconds + 0.3,
            )
            killer.join()
            ids = {json.loads(body)[dialect.run_id] for body in bodies}
            with DUAL.start(home) as second, Api(second.urls["new API"]) as api:
                listed = {run["id"] for run in api.runs(kind="workflow")}
            answered.append(figures.requests)
            missing.append(len(ids - listed) + figures.requests - len(ids))
    return [
        Figure("acknowledged starts, :5005", answered[:1], least=1),
        Figure("missing after `kill -9`, :5005", missing[:1], none=True),
        Figure("acknowledged starts, /api/v1", answered[1:], least=1),
        Figure("missing after `kill -9`, /api/v1", missing[1:], none=True),
    ]


def ten_together(scale: Scale) -> list[Figure]:
    """10 workflows of 0.5 s, started on 10 connections, until the server has none left."""
    took, wrong = [], 0
    with serving() as (server, home), Api(server.urls["new API"]) as api:
        seed.plant(home, "loadtest-half", "sleep 0.5\n")
        for _ in range(scale.rounds):
            begun = time.monotonic()
            url = server.urls["new API"]
            figures, _ = send(url, NEW_API.start("loadtest-half"), connections=10, count=10)
            # Not before it can be: each look costs the server something.
            _sleep_until(begun + 0.5)
            api.until_idle(WITHIN, every=0.005)
            took.append(time.monotonic() - begun)
            wrong += figures.errors
        wrong += sum(run["status"] != "completed" for run in api.runs())
    return [
        Figure("all of them over", took, "s", most=0.6),
        Figure("errors", [wrong], none=True),
    ]


def many_sleeps(scale: Scale) -> list[Figure]:
    """Very many runs at once: time, errors, memory, lag of the event loop."""
    bare = _bare_sleeps(scale)
    with serving(dual("new", WATCHED)) as (server, home), Api(server.urls["new API"]) as api:
        growth = Growth(server.process.pid)
        body = {"command": f"sleep {scale.sleep_seconds:g}", "background": True}
        call = Call("POST", f"{RUNS}/execute", body, 202, {"status": "queued"})
        begun = time.monotonic()
        figures, _ = send(server.urls["new API"], call, connections=50, count=scale.sleeps)
        accepted = time.monotonic()
        _sleep_until(begun + scale.sleep_seconds)
        api.until_idle(WITHIN)
        ended = time.monotonic()
        completed = sum(run["status"] == "completed" for run in api.runs())
        server_growth, helper_growth = growth.of_server(), growth.of_helpers()
        server.stop()
        lag = [late for due, late in _lag(home / "lag.json") if begun <= due <= ended]
    return [
        Figure("all of them accepted", [accepted - begun], "s"),
        Figure("all of them over", [ended - begun], "s", most=scale.sleep_target),
        Figure("limit: the same by bare posix_spawn", [bare], "s"),
        Figure("errors", [figures.errors + scale.sleeps - completed], none=True),
        Figure("server memory growth", [server_growth], "MB", most=100),
        Figure("spawn helper memory growth", [helper_growth], "MB"),
        Figure("event-loop lag p50", [percentile(lag, 0.5)], "ms"),
        Figure("event-loop lag p99", [percentile(lag, 0.99)], "ms", most=50),
        Figure("event-loop lag, longest", [percentile(lag, 1.0)], "ms"),
    ]


def _bare_sleeps(scale: Scale) -> float:
    """Seconds the machine takes for as many shells that sleep, and nothing else."""
    begun = time.monotonic()
    argv = ["sh", "-c", f"sleep {scale.sleep_seconds:g}"]
    children = [os.posix_spawn("/bin/sh", argv, os.environ) for _ in range(scale.sleeps)]
    for child in children:
        os.waitpid(child, 0)
    return time.monotonic() - begun


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _lag(report: Path) -> Sequence[tuple[float, float]]:
    samples: list[tuple[float, float]] = json.loads(report.read_text(encoding="utf-8"))
    return sorted(samples, key=lambda sample: sample[1])


def followers(scale: Scale) -> list[Figure]:
    """Many readers of one log, with and without some that never read."""
    alone: list[float] = []
    beside: list[float] = []
    with serving() as (server, home), Api(server.urls["new API"]) as api:
        for _ in range(scale.rounds):
            for idle, times in ((0, alone), (scale.idle, beside)):
                gate = home / f"gate-{len(alone)}-{len(beside)}"
                followed = many_followers(
                    api, server.urls["new API"], gate, (scale.followers, scale.lines, idle), WITHIN
                )
                times.append(uvloop.run(followed))
    slower = [with_idle / without for with_idle, without in zip(beside, alone, strict=True)]
    return [
        Figure("all lines with every follower", alone, "s"),
        Figure(f"the same beside {scale.idle} that never read", beside, "s"),
        Figure("times as long beside them", slower, "x", most=1.1),
    ]


def huge_log(scale: Scale) -> list[Figure]:
    """One very big log, followed live and by one who joins late."""
    with serving() as (server, home), Api(server.urls["new API"]) as api:
        growth = Growth(server.process.pid)
        url = server.urls["new API"]
        times = uvloop.run(big_log(api, url, home / "gate", scale.log_bytes, WITHIN))
        server_growth, helper_growth = growth.of_server(), growth.of_helpers()
    return [
        Figure("live follower has it all (WebSocket)", [times.live], "s"),
        Figure("late follower has it all (HTTP)", [times.late], "s"),
        Figure("server memory growth", [server_growth], "MB", most=32),
        Figure("spawn helper memory growth", [helper_growth], "MB"),
    ]


def kills(scale: Scale) -> list[Figure]:
    """Rounds of `kill -9`; raises nothing, each violation is told on the way."""
    launch = dual("new", **chaos.SETTINGS)
    number = time.time_ns() % 2**32
    home = new_home("kills")
    outcome = chaos.chaos(lambda: launch.start(home), home, rounds=scale.kills, seed=number)
    for violation in outcome.violations:
        print(f"kills, seed {number}: {violation}", flush=True)
    return [
        Figure(f"kills (seed {number})", [outcome.kills]),
        Figure("acknowledged runs", [outcome.acknowledged], least=scale.kills),
        Figure("executions", [outcome.started]),
        Figure("violations", [len(outcome.violations)], none=True),
    ]


SCENARIOS: Mapping[str, Scenario] = {
    scenario.key: scenario
    for scenario in (
        Scenario(
            "acknowledged",
            "Acknowledged starts and `kill -9`",
            lambda scale: (
                f"POST /workflow/start (and /api/v1/workflows/start), 10 connections, "
                f"`kill -9` of the server after {scale.start_seconds:g} s, and another server: "
                "each id that was answered is looked for in GET /api/v1/workflows/list."
            ),
            acknowledged,
        ),
        Scenario(
            "ten",
            "10 workflows of 0.5 s together",
            lambda scale: (
                f"From the first request to none queued or running, {scale.rounds} times on one "
                "server."
            ),
            ten_together,
        ),
        Scenario(
            "sleeps",
            "Very many runs together",
            lambda scale: (
                f"{scale.sleeps} background runs `sleep {scale.sleep_seconds:g}` by POST "
                "/api/v1/workflows/execute on 50 connections, from the first request to none "
                "queued or running. Memory: highest resident size less that before. Lag: a task "
                "on the server's own loop that is to wake up every 10 ms; every such moment "
                "counts, also while the loop is busy."
            ),
            many_sleeps,
        ),
        Scenario(
            "followers",
            "One log, very many followers",
            lambda scale: (
                f"{scale.followers} WebSocket readers connected before the first of {scale.lines} "
                "lines; from the first line to the last reader's `end`, each piece checked. "
                f"Without and with {scale.idle} more that never read, in turn, {scale.rounds} "
                "times."
            ),
            followers,
        ),
        Scenario(
            "log",
            "One very big log",
            lambda scale: (
                f"{scale.log_bytes / 1e6:.0f} MB of lines, read live over WebSocket, and over HTTP "
                "by one who joins when that one has half; each piece checked. Memory: highest "
                "resident size less that before."
            ),
            huge_log,
        ),
        Scenario(
            "kills",
            "Rounds of `kill -9`",
            lambda scale: (
                f"{scale.kills} servers in turn on one home, each killed at a random moment below "
                f"{chaos.LONGEST_LIFE:g} s of mixed load. At the end every acknowledged run must "
                "have exactly one final state, the right one; none executed more than once for "
                "each attempt; no process left over."
            ),
            kills,
        ),
    )
}
