"""Stopping: gently, then hard; once or twice; in time or too late."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from fastapi_app.engine.stopping import StopOrder
from fastapi_app.models import Run, RunStatus
from tests.fastapi_app.engine.conftest import Bench, background, gone

POLITE = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
STUBBORN = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"

KILL = StopOrder.of(0.3, kill=True)
INTERRUPT = StopOrder.of(30, interrupt=True)


async def running(bench: Bench, command: str) -> Run:
    """A background run that has said something."""
    run = await bench.engine.submit(background(command))
    async with asyncio.timeout(5):
        while not bench.printed(run):
            await asyncio.sleep(0.01)
    return await bench.stored(run)


async def test_sigterm_is_enough_for_most(bench: Bench) -> None:
    run = await running(bench, POLITE)
    stopped, used = await bench.engine.stop(run, reason="enough")
    assert used is signal.SIGTERM
    assert (stopped.status, stopped.returncode) == (RunStatus.CANCELLED, 7)
    assert stopped.reason == "enough"
    assert bench.printed(run) == "ready\nbye\n"


async def test_what_ignores_sigterm_is_killed_after_the_grace(bench: Bench) -> None:
    run = await running(bench, STUBBORN)
    stopped, used = await bench.engine.stop(run)
    assert used is signal.SIGKILL
    assert (stopped.status, stopped.returncode) == (RunStatus.CANCELLED, -9)
    assert bench.printed(run) == "ready\nasked\n"


async def test_kill_does_not_ask(bench: Bench) -> None:
    run = await running(bench, STUBBORN)
    stopped, used = await bench.engine.stop(run, KILL, reason="killed")
    assert used is signal.SIGKILL
    assert (stopped.reason, stopped.returncode) == ("killed", -9)
    assert bench.printed(run) == "ready\n"


@pytest.mark.parametrize(
    ("order", "used"), [(KILL, signal.SIGKILL), (INTERRUPT, signal.SIGINT), (None, signal.SIGTERM)]
)
async def test_an_order_holds_for_what_is_just_being_started(
    bench: Bench, order: StopOrder | None, used: signal.Signals
) -> None:
    (helper,) = bench.spawner.pids
    os.kill(helper, signal.SIGSTOP)
    try:
        run = await bench.engine.submit(background("exec sleep 60"))
        stopping = asyncio.create_task(bench.engine.stop(run, order))
        while not (await bench.stored(run)).stop_requested:
            await asyncio.sleep(0.01)
    finally:
        os.kill(helper, signal.SIGCONT)
    stopped, ended_by = await stopping
    assert (stopped.status, stopped.returncode) == (RunStatus.CANCELLED, -used)
    assert ended_by is used


async def test_an_interrupt_comes_before_the_others_when_asked_for(bench: Bench) -> None:
    run = await running(bench, "trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done")
    stopped, used = await bench.engine.stop(run, INTERRUPT)
    assert (used, stopped.returncode) == (signal.SIGINT, 5)
    run = await running(bench, "trap '' INT; echo ready; while :; do sleep 0.05; done")
    stopped, used = await bench.engine.stop(run, StopOrder.of(2, interrupt=True))
    assert (used, stopped.returncode) == (signal.SIGTERM, -15)
    run = await running(bench, "trap '' INT TERM; echo ready; while :; do sleep 0.05; done")
    stopped, used = await bench.engine.stop(run, StopOrder.of(0.1, interrupt=True))
    assert (used, stopped.returncode) == (signal.SIGKILL, -9)


async def test_what_left_the_session_is_found(bench: Bench) -> None:
    run = await running(
        bench, "setsid sh -c \"trap '' TERM; echo \\$\\$; while :; do sleep 0.05; done\" & wait"
    )
    stray = int(bench.printed(run))
    stopped, used = await bench.engine.stop(run)
    assert (stopped.status, used) == (RunStatus.CANCELLED, signal.SIGTERM)
    await gone(stray)


async def test_a_run_that_is_over_leaves_its_daemons_alone(bench: Bench) -> None:
    ended = await bench.finished("sleep 60 & echo $!")
    left = int(bench.printed(ended))
    os.kill(left, signal.SIGKILL)  # fails when it is gone
    assert ended.status is RunStatus.COMPLETED


async def test_two_who_stop_at_once_get_the_same_answer(bench: Bench) -> None:
    run = await running(bench, POLITE)
    stopping = asyncio.gather(bench.engine.stop(run), bench.engine.stop(run))
    (first, _), (second, _) = await stopping
    assert first == second
    assert bench.printed(run) == "ready\nbye\n", "one signal is enough"


async def test_a_kill_does_not_wait_for_a_stop_under_way(bench: Bench) -> None:
    run = await running(bench, STUBBORN)
    stopping = asyncio.create_task(bench.engine.stop(run))
    async with asyncio.timeout(5):
        while "asked" not in bench.printed(run):
            await asyncio.sleep(0.005)
        await bench.engine.stop(run, KILL)
        await stopping


async def test_stopping_what_is_over_says_how_it_ended(bench: Bench) -> None:
    ended = await bench.finished("exit 3")
    assert await bench.engine.stop(ended) == (ended, None)


async def test_a_stale_copy_of_what_is_over_changes_nothing(bench: Bench) -> None:
    run = await running(bench, "echo ready; sleep 0.1")
    ended = await bench.over(run)
    async with asyncio.timeout(1):
        assert await bench.engine.stop(run) == (ended, None)


@pytest.mark.parametrize("command", ["true", "sleep 0.01"])
async def test_a_stop_that_races_the_end_always_answers(bench: Bench, command: str) -> None:
    async def race() -> Run:
        run = await bench.engine.submit(background(command))
        stopped, _ = await bench.engine.stop(run)
        assert stopped == await bench.stored(run)
        return stopped

    async with asyncio.timeout(20):
        ended = await asyncio.gather(*(race() for _ in range(60)))
    for run in ended:
        assert run.status in {RunStatus.CANCELLED, RunStatus.COMPLETED}
        assert (run.returncode is None) == (run.started_at is None)
    assert await bench.runs.unfinished() == []


async def test_what_a_leader_leaves_in_its_group_is_ended_too(bench: Bench) -> None:
    run = await running(bench, "(trap '' TERM; sleep 60) & echo $!; exec sleep 60")
    child = int(bench.printed(run))
    stopped, _ = await bench.engine.stop(run)
    assert stopped.status is RunStatus.CANCELLED
    await gone(child)


async def test_a_stop_is_over_when_its_group_is(bench: Bench) -> None:
    # Both processes end at once; a process 1 that reaps late must not cost the grace.
    run = await running(bench, "echo ready; sleep 60; true")
    began = asyncio.get_running_loop().time()
    await bench.engine.stop(run)
    assert asyncio.get_running_loop().time() - began < 0.3
