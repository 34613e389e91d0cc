"""What no rate can show: each scenario has a server of its own and comes back with figures.

A scenario that is kept from its end raises; what it measured on the way is then worth nothing.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from loadtests import chaos, seed
from loadtests.api import RUNS, Api
from loadtests.calls import NEW_API, OLD_CONTRACT, Call
from loadtests.figures import Figure
from loadtests.hammer import percentile
from loadtests.homes import new_home
from loadtests.memory import Growth
from loadtests.reading import big_log, many_followers
from loadtests.servers import WATCHED, dual
from loadtests.staging import DUAL, Scale, Scenario, send, serving
from loadtests.versus import boot, command_line, ten_together

WITHIN = 120.0  # seconds for what takes a few; only a hang takes that long


def acknowledged(scale: Scale) -> list[Figure]:
    """Kill the server amid starts, and look for each one that was acknowledged."""
    answered, missing = [], []
    for dialect, listens_as in ((OLD_CONTRACT, "legacy API"), (NEW_API, "new API")):
        with serving() as (server, home):
            seed.plant(home, seed.TRUE, "true\n")
            killer = threading.Timer(scale.start_seconds, server.kill)
            killer.start()
            # A little longer than the server lives, so that it dies with requests in flight.
            figures, bodies = send(
                server.urls[listens_as],
                dialect.start(seed.TRUE),
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
            brief=False,
        ),
        Scenario(
            "ten",
            "10 workflows of 0.5 s together",
            lambda scale: (
                "A stored command `sleep 0.5`, started 10 times at once on 10 connections, from "
                "the first request until GET /status shows none of them; the servers in turn, "
                f"{scale.rounds} times. It cannot take less than 0.5 s."
            ),
            ten_together,
        ),
        Scenario(
            "boot",
            "Server start and memory",
            lambda scale: (
                "From the start of the process to its first right answer of GET /status, on an "
                "empty home and once more on that home. The new server opens both ports, migrates "
                "its database and starts two helpers. Memory is the resident size of the server "
                "and its helpers together, shared pages counted in each, once after the start and "
                f'once after {scale.calls:,} calls POST /execute {{"command":"true"}}. '
                f"{scale.rounds} times, in turn."
            ),
            boot,
        ),
        Scenario(
            "cli",
            "Start of the command line",
            lambda scale: (
                "Wall time of each program from its start to its end, in turn, "
                f"{2 * scale.rounds} times. There never was an old command line: `mclictl status` "
                "is held against a script that asks for the same with the old client "
                "(legacy_flask/client.py). Both ask one server."
            ),
            command_line,
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
            brief=False,
        ),
        Scenario(
            "followers",
            "One log, very many followers",
            lambda scale: (
                f"{scale.followers} WebSocket readers connected before the first of {scale.lines} "
                "lines; from the first line to the last reader's `end`, each piece checked. "
                f"Without and with {scale.idle} more that never read, in turn, {scale.rounds} "
                "times. The old daemon has no WebSockets: there is nothing to hold this against."
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
            brief=False,
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
            brief=False,
        ),
    )
}
