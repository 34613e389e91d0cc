"""Scenarios that hold the old daemon against the new server: in turn, round by round."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import psutil

from loadtests import seed
from loadtests.calls import NEW_API, OLD_CONTRACT, Dialect
from loadtests.figures import Figure, Gain
from loadtests.homes import new_home
from loadtests.memory import MEGABYTE
from loadtests.servers import OLD_DAEMON, ROOT, Launch, environment
from loadtests.staging import DUAL, Scale, send, serving

WITHIN = 120.0  # seconds for what takes a few; only a hang takes that long
HALF = "loadtest-half"
LOOK = 0.005
"""Seconds between looks at whether all is over."""


@dataclass(frozen=True, eq=False)
class Side:
    """A server, and the URL of it that is spoken to, by what the server calls it."""

    key: str
    title: str
    launch: Launch
    listens_as: str
    dialect: Dialect


OLD = Side("old", "old daemon", OLD_DAEMON, "legacy daemon", OLD_CONTRACT)
SHIM = Side("shim", "shim, stage new", DUAL, "legacy API", OLD_CONTRACT)
API = Side("api", "/api/v1", DUAL, "new API", NEW_API)


def held_against(
    what: str, taken: Mapping[Side, Sequence[float]], unit: str, most: float | None = None
) -> list[Figure]:
    """What each side took, and how often the old daemon took what another one did.

    Less is better. Rounds are compared with each other: they are neighbours in time.
    """
    values = [
        Figure(f"{what}: {side.title}", values, unit, most=None if side is OLD else most)
        for side, values in taken.items()
    ]
    gains = [
        gained(what, (side.key, f"{OLD.title} / {side.title}"), (taken[OLD], new), unit)
        for side, new in taken.items()
        if side is not OLD
    ]
    return values + gains


def gained(
    what: str, names: tuple[str, str], values: tuple[Sequence[float], Sequence[float]], unit: str
) -> Figure:
    """How often the new one's value the old one's is, round by round.

    `names` are the key of the new one and what is divided, `values` those of the old and the new.
    """
    (key, title), (old, new) = names, values
    times = [before / after for before, after in zip(old, new, strict=True)]
    gain = Gain(what, key, median(old), median(new), unit)
    return Figure(f"{what}: {title}", times, "x", gain=gain)


def ten_together(scale: Scale) -> list[Figure]:
    """10 workflows of 0.5 s, started on 10 connections, until the server has none left."""
    took: defaultdict[Side, list[float]] = defaultdict(list)
    wrong = 0
    with ExitStack() as stack:
        urls: dict[Side, Mapping[str, str]] = {}
        for sides in ((OLD,), (SHIM, API)):
            server, home = stack.enter_context(serving(sides[0].launch))
            seed.plant(home, HALF, "sleep 0.5\n")
            urls |= dict.fromkeys(sides, server.urls)
        for _ in range(scale.rounds):
            for side in (OLD, SHIM, API):
                seconds, failed = _together(side, urls[side])
                took[side].append(seconds)
                wrong += failed
    errors = Figure("errors", [wrong], none=True)
    return [*held_against("all of them over", took, "s", most=0.6), errors]


def _together(side: Side, urls: Mapping[str, str]) -> tuple[float, int]:
    """Seconds from the first start until nothing runs, and the number of wrong answers."""
    begun = time.monotonic()
    figures, _ = send(urls[side.listens_as], side.dialect.start(HALF), connections=10, count=10)
    # Not before it can be: each look costs the server something.
    time.sleep(max(0.0, begun + 0.5 - time.monotonic()))
    # The same question to both, and the new server answers it on its old port.
    old_port = urls.get("legacy daemon") or urls["legacy API"]
    while _status(old_port)["active_workflows"]:
        if time.monotonic() > begun + WITHIN:
            raise TimeoutError(f"{side.title}: workflows of 0.5 s are not over within {WITHIN:g} s")
        time.sleep(LOOK)
    return time.monotonic() - begun, figures.errors


def _status(url: str) -> dict[str, object]:
    with urlopen(f"{url}/status", timeout=WITHIN) as answer:  # noqa: S310 - our own server
        found: dict[str, object] = json.load(answer)
    return found


def boot(scale: Scale) -> list[Figure]:
    """Start both servers; time to the first answer, memory then and after many calls."""
    first: defaultdict[Side, list[float]] = defaultdict(list)
    again: defaultdict[Side, list[float]] = defaultdict(list)
    idle: defaultdict[Side, list[float]] = defaultdict(list)
    used: defaultdict[Side, list[float]] = defaultdict(list)
    wrong = 0
    for _ in range(scale.rounds):
        for side in (OLD, SHIM):
            home = new_home("boot")
            first[side].append(_first_answer(side, home))
            begun = time.monotonic()
            with side.launch.start(home) as server:
                url = server.urls[side.listens_as]
                send(url, side.dialect.status(), connections=1, count=1)
                again[side].append(time.monotonic() - begun)
                idle[side].append(_resident(server.process.pid))
                call = side.dialect.execute("true", "")
                figures, _ = send(url, call, connections=10, count=scale.calls)
                wrong += figures.errors
                used[side].append(_resident(server.process.pid))
    parts = [
        ("first answer, empty home", first, "s"),
        ("first answer, the same home again", again, "s"),
        ("memory after the start", idle, "MB"),
        (f"memory after {scale.calls:,} calls", used, "MB"),
    ]
    found: list[Figure] = []
    for what, taken, unit in parts:
        found += held_against(what, taken, unit)
    return [*found, Figure("errors", [wrong], none=True)]


def _first_answer(side: Side, home: Path) -> float:
    """Seconds from the start of the process to its first right answer."""
    begun = time.monotonic()
    with side.launch.start(home) as server:
        figures, _ = send(
            server.urls[side.listens_as], side.dialect.status(), connections=1, count=1
        )
        seconds = time.monotonic() - begun
    if figures.errors:
        raise ValueError(f"{side.title}: {figures.error_kinds}")
    return seconds


def _resident(pid: int) -> float:
    """Megabytes that a server and the helpers it has started hold, shared pages in each."""
    server = psutil.Process(pid)
    held = sum(each.memory_info().rss for each in (server, *server.children(recursive=True)))
    return held / MEGABYTE


OLD_CLIENT = "old client, status"
ASK = "from legacy_flask.client import LegacyClient; print(LegacyClient({url!r}).status())"


def command_line(scale: Scale) -> list[Figure]:
    """Start `mclictl`, and what an old script does instead, again and again."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    with serving() as (server, home):
        new, old = server.urls["new API"], server.urls["legacy API"]
        programs: Mapping[str, tuple[list[str], str]] = {
            "limit: python -c pass": (["-c", "pass"], ""),
            "mclictl --version": (["-m", "cli", "--version"], "mclictl "),
            OLD_CLIENT: (["-c", ASK.format(url=old)], "'running': True"),
            "mclictl status": (["-m", "cli", "--url", new, "status"], "version"),
        }
        for _ in range(2 * scale.rounds):
            for title, (args, printed) in programs.items():
                took[title].append(_wall(args, printed, environment(home)))
    return [
        *(Figure(title, values, "ms") for title, values in took.items()),
        gained(
            "status",
            ("mclictl", "old client / mclictl"),
            (took[OLD_CLIENT], took["mclictl status"]),
            "ms",
        ),
    ]


def _wall(args: Sequence[str], printed: str, env: Mapping[str, str]) -> float:
    """Milliseconds a Python program takes from its start to its end; it must print something."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    took = time.monotonic() - begun
    if done.returncode or printed not in done.stdout:
        raise ValueError(f"{args}: {done.returncode}, {done.stdout}{done.stderr}")
    return took * 1000
