"""Trying again: as often as asked for, later each time, and never after a stop."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine import outcome
from fastapi_app.models import Retry, RunOptions, RunStatus, Stream
from tests.fastapi_app.engine.conftest import Bench, background, opened

if TYPE_CHECKING:
    from pathlib import Path

QUEUED, RUNNING = RunStatus.QUEUED, RunStatus.RUNNING


def options(times: int = 2, delay: float = 0.01) -> RunOptions:
    """Options of a run that is tried again."""
    return RunOptions(retry=Retry(times=times, delay=delay))


async def test_it_is_tried_until_it_succeeds(bench: Bench, tmp_path: Path) -> None:
    count = f"{tmp_path}/count"
    command = f"echo try; echo x >> {count}; [ $(wc -l < {count}) = 2 ]"
    run = await bench.finished(command, options=options())
    assert (run.status, run.attempt, run.returncode, run.reason) == (
        RunStatus.COMPLETED,
        2,
        0,
        None,
    )
    assert bench.printed(run) == "try\ntry\n", "one log for all attempts"
    assert run.stdout_bytes == 8


async def test_the_last_failure_stays(bench: Bench) -> None:
    run = await bench.finished("exit 4", options=options())
    assert (run.status, run.attempt, run.returncode) == (RunStatus.FAILED, 3, 4)
    history = await bench.runs.history(run.id)
    assert [(t.status, t.attempt) for t in history] == [
        (QUEUED, 1),
        (RUNNING, 1),
        (QUEUED, 2),
        (RUNNING, 2),
        (QUEUED, 3),
        (RUNNING, 3),
        (RunStatus.FAILED, 3),
    ]
    assert "attempt 1 failed with exit code 4" in (history[2].reason or "")


async def test_a_time_out_is_a_failure_too(bench: Bench) -> None:
    run = await bench.finished("sleep 60", timeout=0.05, options=options(times=1))
    assert (run.status, run.attempt) == (RunStatus.TIMED_OUT, 2)


async def test_what_cannot_be_started_is_not_tried_again(bench: Bench) -> None:
    run = await bench.finished("true", cwd="/nowhere", options=options())
    assert (run.status, run.attempt) == (RunStatus.FAILED, 1)
    assert "/nowhere" in bench.printed(run, Stream.STDERR)


async def test_a_stop_between_two_attempts_is_final(bench: Bench) -> None:
    run = await bench.engine.submit(background("exit 1", options=options(delay=60)))
    async with asyncio.timeout(5):
        while (await bench.stored(run)).attempt == 1:
            await asyncio.sleep(0.01)
    stopped, signal = await bench.engine.stop(run)
    assert (stopped.status, stopped.attempt, signal) == (RunStatus.CANCELLED, 2, None)


async def test_a_stop_during_an_attempt_is_final(bench: Bench) -> None:
    run = await bench.engine.submit(
        background("trap 'exit 1' TERM; echo ready; sleep 60 & wait", options=options())
    )
    async with asyncio.timeout(5):
        while not bench.printed(run):
            await asyncio.sleep(0.01)
    stopped, _ = await bench.engine.stop(run)
    assert (stopped.status, stopped.attempt, stopped.returncode) == (RunStatus.CANCELLED, 1, 1)


async def test_a_restart_keeps_the_attempts_apart(home: Path, tmp_path: Path) -> None:
    count = f"{tmp_path}/count"
    retry = Retry(times=1, delay=0.4)
    async with opened(home) as bench:
        run = await bench.engine.submit(
            background(f"echo x >> {count}; exit 1", options=RunOptions(retry=retry))
        )
        async with asyncio.timeout(5):
            while (await bench.stored(run)).attempt == 1:
                await asyncio.sleep(0.01)
        await bench.disown()
    async with opened(home) as bench:
        ended = await bench.over(await bench.stored(run))
        assert (ended.status, ended.attempt) == (RunStatus.FAILED, 2)
        assert (tmp_path / "count").read_text() == "x\n" * 2


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_jumps_delays_no_attempt_for_ever(jump: float) -> None:
    run = background("true", options=RunOptions(retry=Retry(times=9, delay=4, longest=10)))
    again = outcome.next_attempt(run, run.but(status=RunStatus.FAILED, returncode=1))
    assert again is not None
    assert again.not_before is not None
    assert outcome.due_in(again.but(not_before=again.not_before + jump)) <= 15


def test_delays_grow_to_their_longest_and_are_spread() -> None:
    retry = Retry(times=2000, delay=1, factor=3, longest=50)
    delays = []
    for attempt in (1, 2, 3, 4, 5, 1500):
        run = background("true", attempt=attempt, options=RunOptions(retry=retry))
        again = outcome.next_attempt(run, run.but(status=RunStatus.FAILED, returncode=1))
        assert again is not None
        delays.append(outcome.due_in(again))
    for delay, base in zip(delays, (1, 3, 9, 27, 50, 50), strict=True):
        assert base * 0.49 <= delay <= base * 1.5
    assert all(a != b for a, b in pairwise(delays))
