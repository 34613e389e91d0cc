"""The wall clock jumps by an hour, forth and back: nothing takes longer, or less long, for that."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from fastapi_app.engine import outcome
from fastapi_app.engine.traces import Trace
from fastapi_app.models import Retry, RunOptions, RunStatus
from tests.fastapi_app.engine.conftest import background
from tests.fastapi_app.routers.wire import RUNS, created, finished, printed, show, start
from tests.fastapi_app.starting import serving, start_app, until
from tests.servers import Server
from tests.servers import start as start_server

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
# A clock that can be set: what the machine says, and what the file adds to it.
CLOCK = """
import time
def now(real=time.time):
    with open({path!r}) as file:
        return real() + float(file.read())
time.time = now
"""


def start_with_clock(home: Path, clock: Path) -> Server:
    """The new app, with a clock that the file `clock` sets."""
    python, option, code = serving()
    assert python == sys.executable
    argv = [python, option, CLOCK.format(path=str(clock)) + code]
    return start_server(argv, home, {"new API"})


def jump(clock: Path, seconds: float) -> None:
    """Set the clock by that much, seen by others as a whole."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)


@pytest.mark.parametrize(("before", "after"), [(0.0, HOUR), (HOUR, 0.0)])
def test_what_goes_on_takes_as_long_as_it_takes(
    home: Path, tmp_path: Path, before: float, after: float
) -> None:
    clock = tmp_path / "clock"
    jump(clock, before)
    with (
        start_with_clock(home, clock) as server,
        server.client(timeout=15) as client,
    ):
        name = created(client, uuid4().hex, "steps: {a: {run: sleep 0.7}}", language="yaml")
        began = time.monotonic()
        plain = start(client, "echo ready; sleep 0.7", timeout=10)
        doc = client.post(f"{RUNS}/start", json={"name": name, "timeout": 10}).json()["job_id"]
        late = start(client, "exec sleep 60", timeout=0.7)
        again = start(client, "exit 1", retries={"times": 2, "delay": 0.3, "factor": 1})
        printed(client, plain)
        until(lambda: show(client, doc)["status"] == "running")
        until(lambda: show(client, again)["attempt"] == 2)
        jump(clock, after)
        for run_id, status in (
            (plain, "completed"),
            (doc, "completed"),
            (late, "timed_out"),
            (again, "failed"),
        ):
            run = finished(client, run_id)
            assert run["status"] == status
            if run_id != again:
                assert 0.65 <= run["duration_seconds"] < 5
        assert show(client, again)["attempt"] == 3
        assert time.monotonic() - began < 10
        since = time.time() + after - 1
        new = start(client, "true")
        items = client.get(f"{RUNS}/list", params={"since": since}).json()["items"]
        assert new in [item["id"] for item in items]
        assert client.get(f"{RUNS}/list", params={"until": since - 2 * HOUR}).json()["items"] == []
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed)


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_next_server_has_another_clock(home: Path, tmp_path: Path, hours: int) -> None:
    clock = tmp_path / "clock"
    with start_app(home) as server, server.client(timeout=15) as client:
        again = start(client, "exit 1", retries={"times": 1, "delay": 1, "factor": 1})
        late = start(client, "exec sleep 60", timeout=2.5)
        kept = start(client, "echo ready; sleep 1.5; exit 3", timeout=30)
        printed(client, kept)
        until(lambda: show(client, again)["attempt"] == 2)
        until(lambda: show(client, late)["status"] == "running")
        began = time.monotonic()
        server.kill()
    jump(clock, hours * HOUR)
    with (
        start_with_clock(home, clock) as server,
        server.client(timeout=15) as client,
    ):
        assert finished(client, again)["status"] == "failed"
        run = finished(client, kept)
        assert (run["status"], run["returncode"]) == ("failed", 3)
        assert 1.4 <= run["duration_seconds"] < 6
        assert finished(client, late)["status"] == "timed_out"
        assert time.monotonic() - began < 10
        assert 2.4 <= show(client, late)["duration_seconds"] < 6
        assert server.stop() == 0


def test_the_wait_for_an_attempt_is_bounded_by_its_back_off() -> None:
    retry = Retry(times=5, delay=2.0, factor=3.0, longest=300.0)
    run = background("exit 1", attempt=2, options=RunOptions(retry=retry))
    ended = run.but(status=RunStatus.FAILED, returncode=1)
    again = outcome.next_attempt(run, ended)
    assert again is not None
    assert 3.0 <= outcome.due_in(again) <= 9.0
    for hours in (-1, 1):
        moved = again.but(not_before=(again.not_before or 0) + hours * HOUR)
        assert outcome.due_in(moved) <= 9.0


def test_a_lost_run_has_not_ended_before_it_began() -> None:
    run = background("x", status=RunStatus.RUNNING, started_at=time.time() + HOUR)
    lost = outcome.from_trace(run, Trace())
    assert lost.status is RunStatus.LOST
    assert (lost.finished_at or 0) >= (run.started_at or 0)


@pytest.mark.parametrize(
    ("seconds", "code", "status"),
    [
        (1.995, -9, RunStatus.TIMED_OUT),
        (2.1, -9, RunStatus.TIMED_OUT),
        (1.9, -9, RunStatus.FAILED),
        (2.1, -15, RunStatus.FAILED),
        (2.1, 0, RunStatus.COMPLETED),
    ],
)
def test_an_adopted_run_was_timed_out_if_it_was_killed_when_due(
    seconds: float, code: int, status: RunStatus
) -> None:
    run = background("x", status=RunStatus.RUNNING, started_at=1000.0, timeout=2.0)
    trace = Trace(pid=1, start_ticks=1, began=1000.0, exit_code=code, finished_at=1000.0 + seconds)
    assert outcome.from_trace(run, trace).status is status
