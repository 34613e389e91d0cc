"""`kill -9` of the server at random moments under mixed load, and what must hold afterwards.

Every command appends the id of its run to a ledger, once for each attempt. What clients were told
is kept. At the end a server that nobody kills lets everything come to its end, and then the
database, the ledger and the table of processes must agree with what was told.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import shlex
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.api import RUNS, Api, ApiError
from loadtests.owner import own
from loadtests.seed import plant
from loadtests.servers import Server

STORED = "chaos-stored"
SETTINGS = {"MCLI_MAX_CONCURRENT_COMMANDS": "12", "MCLI_STOP_GRACE": "0.3"}
"""Few slots, so that each server that is killed leaves a queue."""
CLIENTS = 6
LONGEST_LIFE = 1.0  # seconds of load until the server is killed
FINAL = frozenset({"completed", "failed", "cancelled", "timed_out", "lost"})
QUIET_WITHIN = 60.0  # seconds for everything to come to its end; only a hang takes that long
GONE_WITHIN = 10.0
LIFETIME = 1800  # seconds a run sleeps that is to be stopped: longer than all rounds


@dataclass
class Told:
    """What clients know for certain. Several threads write to it."""

    ledger: Path
    statuses: dict[str, frozenset[str]] = field(default_factory=dict)
    """By the id of each acknowledged run, the final statuses it may have."""
    to_stop: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What a client saw that must never be."""

    def expect(self, run_id: str, *statuses: str) -> None:
        self.statuses[run_id] = frozenset(statuses)

    def command(self, then: str) -> str:
        """Shell text that signs the ledger first."""
        return f'echo "$MCLI_RUN_ID" >> {shlex.quote(str(self.ledger))}; {then}'


@dataclass(frozen=True)
class Outcome:
    """What came of it: how many runs were acknowledged and started, and every violation."""

    acknowledged: int
    started: int
    kills: int
    violations: list[str]


class Client(threading.Thread):
    """One client of a server that is going to die: random requests until then."""

    def __init__(self, told: Told, url: str, seed: str) -> None:
        super().__init__(name=f"chaos {seed}")
        self._told = told
        self._api = Api(url, timeout=QUIET_WITHIN)
        self._random = random.Random(seed)
        self._weights = {
            self.background: 4,
            self.stored: 3,
            self.foreground: 3,
            self.retried: 1,
            self.endless: 1,
            self.stop: 2,
        }

    def run(self) -> None:
        """Go on until the server is gone; an answer nobody should get is a violation."""
        operations, weights = list(self._weights), list(self._weights.values())
        with self._api:
            while True:
                operation = self._random.choices(operations, weights)[0]
                try:
                    operation()
                except (OSError, http.client.HTTPException):
                    return  # no answer: nothing was promised
                except ApiError as error:
                    self._told.broken.append(f"{operation.__name__}: {error}")

    def background(self) -> None:
        run_id = self._api.background(self._told.command(self._nap()))
        self._told.expect(run_id, "completed")

    def stored(self) -> None:
        body = {"name": STORED, "args": [str(self._told.ledger)]}
        answer = self._api.call("POST", f"{RUNS}/start", body).json(202)
        self._told.expect(answer["job_id"], "completed")

    def foreground(self) -> None:
        body = {"command": self._told.command(self._nap())}
        answer = self._api.call("POST", f"{RUNS}/execute", body).json(200)
        if answer["status"] != "completed":
            raise ApiError(f"a command that cannot fail: {answer}")
        self._told.expect(answer["job_id"], "completed")

    def retried(self) -> None:
        """Fails until it has signed the ledger twice."""
        signed = f'grep -c "$MCLI_RUN_ID" {shlex.quote(str(self._told.ledger))}'
        command = self._told.command(f'test "$({signed})" -ge 2')
        retries = {"times": 3, "delay": 0.05}
        self._told.expect(self._api.background(command, retries=retries), "completed")

    def endless(self) -> None:
        run_id = self._api.background(self._told.command(f"exec sleep {LIFETIME}"))
        self._told.expect(run_id, "cancelled")
        self._told.to_stop.append(run_id)

    def stop(self) -> None:
        """Stop one of them; perhaps another client is just doing the same."""
        if not self._told.to_stop:
            return
        run_id = self._random.choice(self._told.to_stop)
        answer = self._api.call("POST", f"{RUNS}/{run_id}/stop").json(200)
        if answer["status"] != "cancelled":
            raise ApiError(f"stopped, but {answer}")
        with contextlib.suppress(ValueError):  # the other one was faster
            self._told.to_stop.remove(run_id)

    def _nap(self) -> str:
        return f"sleep {self._random.choice((0, 0.01, 0.05, 0.2))}"


def chaos(start: Callable[[], Server], home: Path, *, rounds: int, seed: int) -> Outcome:
    """Start a server on `home` and kill it, so often, and then look at what is left.

    `start` is to start it with the environment `SETTINGS`. The same seed asks for the same things;
    when they happen is the machine's business.
    """
    told = Told(home.parent / f"{home.name}-ledger")
    told.ledger.touch()
    own(home)
    lives = random.Random(seed)
    for number in range(rounds):
        with start() as server:
            if number == 0:
                plant(home, STORED, 'echo "$MCLI_RUN_ID" >> "$1"; sleep 0.02\n')
            _load_and_kill(server, told, f"{seed}-{number}", lives.uniform(0, LONGEST_LIFE))
            told.broken += _complaints(server)
    with start() as server:
        with Api(server.urls["new API"]) as api:
            _come_to_rest(api, told)
        server.stop()
        told.broken += _complaints(server)
    left = _left_over(home)
    started = Counter(told.ledger.read_text(encoding="ascii").split())
    violations = [*told.broken, *left, *compare(told, home / "mcli.db", started)]
    return Outcome(len(told.statuses), started.total(), rounds, violations)


def _load_and_kill(server: Server, told: Told, seed: str, life: float) -> None:
    clients = [Client(told, server.urls["new API"], f"{seed}-{n}") for n in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(life)
    server.kill()
    for client in clients:
        client.join()


def _come_to_rest(api: Api, told: Told) -> None:
    """Stop what would go on for ever, also where no client heard that it was accepted."""
    try:
        # Waiting ones first: what starts between the two looks is among the running ones.
        for run in list(api.runs(status="queued")) + list(api.runs(status="running")):
            if run["command"].endswith(f"exec sleep {LIFETIME}"):
                api.call("POST", f"{RUNS}/{run['id']}/stop").json(200)
        api.until_idle(QUIET_WITHIN)
    except ApiError as error:
        told.broken.append(str(error))


def _complaints(server: Server) -> Iterator[str]:
    printed = b"".join(server.printed).decode("utf-8", "replace")
    if "Traceback" in printed:
        yield f"the server printed: {printed[printed.index('Traceback') :][:3000]}"


def compare(told: Told, database: Path, started: Mapping[str, int]) -> Iterator[str]:
    """Each way in which the database, the ledger and what was told disagree."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        runs = {row["id"]: dict(row) for row in connection.execute("SELECT * FROM runs")}
        marks = ", ".join("?" * len(FINAL))
        counted = connection.execute(
            f"SELECT run_id, COUNT(*) FROM transitions WHERE status IN ({marks}) GROUP BY run_id",  # noqa: S608
            list(FINAL),
        )
        ends = dict(counted)
    for run_id, statuses in told.statuses.items():
        if run_id not in runs:
            yield f"run {run_id} was acknowledged and is gone"
        elif runs[run_id]["status"] not in statuses:
            yield f"a run that must end {'/'.join(statuses)}: {_shown(runs[run_id])}"
    for run_id, run in runs.items():
        yield from _contradictions(run, started.get(run_id, 0), ends.get(run_id, 0))
    for run_id, times in started.items():
        if run_id not in runs and times > 1:
            yield f"run {run_id}, which is unknown, was executed {times} times"


def _contradictions(run: Mapping[str, Any], executed: int, ends: int) -> Iterator[str]:
    if run["status"] not in FINAL:
        yield f"not over: {_shown(run)}"
    elif ends != 1:
        yield f"{ends} final states: {_shown(run)}"
    if executed > run["attempt"]:
        yield f"executed {executed} times: {_shown(run)}"
    if run["status"] == "completed" and executed != run["attempt"]:
        yield f"completed, but executed {executed} times: {_shown(run)}"


def _shown(run: Mapping[str, Any]) -> str:
    names = ("id", "kind", "status", "reason", "attempt", "returncode", "pid", "created_at")
    return ", ".join(f"{name} {run[name]}" for name in (*names, "started_at", "finished_at"))


def _left_over(home: Path) -> list[str]:
    """Processes that still live by the environment of these servers, which all children share."""
    ends = time.monotonic() + GONE_WITHIN
    while (left := list(_living(f"MCLI_HOME={home}".encode()))) and time.monotonic() < ends:
        time.sleep(0.05)
    return [f"left over: {process}" for process in left]


def _living(mark: bytes) -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                if command:  # a zombie has none, and waits only for its parent
                    yield f"{folder.name} {command.decode('utf-8', 'replace')}"
        except OSError:  # it has just ended, or is somebody else's
            continue
