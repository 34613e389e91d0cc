"""Runs that follow others: after success, after failure, after any end, or never."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fastapi_app.models import Group, RunOptions, RunStatus, When
from tests.fastapi_app.engine.conftest import Bench, background, opened

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.models import Run

DONE, SKIPPED = RunStatus.COMPLETED, RunStatus.CANCELLED


def follower(*others: Run, when: When = When.SUCCESS, command: str = "true") -> Run:
    """A run that waits for others."""
    options = RunOptions(after=tuple(run.id for run in others), when=when)
    return background(command, options=options)


@pytest.mark.parametrize(
    ("when", "first", "second", "expected"),
    [
        (When.SUCCESS, "true", "true", DONE),
        (When.SUCCESS, "true", "exit 1", SKIPPED),
        (When.FAILURE, "true", "exit 1", DONE),
        (When.FAILURE, "true", "true", SKIPPED),
        (When.ANY, "exit 1", "true", DONE),
    ],
)
async def test_the_ends_of_others_decide(
    bench: Bench, when: When, first: str, second: str, expected: RunStatus
) -> None:
    others = [await bench.engine.submit(background(command)) for command in (first, second)]
    run = await bench.engine.submit(follower(*others, when=when))
    ended = await bench.over(run)
    assert ended.status is expected
    assert (ended.pid is None) == (expected is SKIPPED)
    if expected is SKIPPED:
        assert (ended.reason or "").startswith("skipped: ")


async def test_ends_that_came_first_count(bench: Bench) -> None:
    good, bad = await bench.finished("true"), await bench.finished("exit 1")
    run = await bench.engine.submit(follower(good))
    assert (await bench.over(run)).status is DONE
    run = await bench.engine.submit(follower(good, bad))
    ended = await bench.over(run)
    assert (ended.status, ended.reason) == (SKIPPED, f"skipped: {bad.id} failed")


async def test_a_chain_runs_in_order_and_breaks_at_a_failure(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    bench.engine.change_group(Group("default", paused=True))
    chain = [await bench.engine.submit(background(f"echo 0 >> {log}"))]
    for number, command in enumerate(["true", "true", "exit 1", "true", "true"], 1):
        run = follower(chain[-1], command=f"echo {number} >> {log}; {command}")
        chain.append(await bench.engine.submit(run))
    bench.engine.change_group(Group("default"))
    ended = [await bench.over(run) for run in chain]
    assert log.read_text().split() == ["0", "1", "2", "3"]
    assert [run.status for run in ended[3:]] == [RunStatus.FAILED, SKIPPED, SKIPPED]


async def test_one_that_waits_can_be_stopped(bench: Bench) -> None:
    first = await bench.engine.submit(background("sleep 60"))
    waiting = await bench.engine.submit(follower(first, when=When.ANY))
    stopped, signal = await bench.engine.stop(waiting)
    assert (stopped.status, stopped.reason, signal) == (SKIPPED, None, None)
    await bench.engine.stop(first)
    assert (await bench.stored(waiting)).pid is None


async def test_one_that_waits_survives_a_restart(home: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with opened(home) as bench:
        first = await bench.engine.submit(
            background(f"while [ ! -e {gate} ]; do sleep 0.01; done; exit 1")
        )
        await bench.engine.until_started(first)
        waiting = await bench.engine.submit(follower(first, when=When.FAILURE))
        await bench.disown()
    async with opened(home) as bench:
        assert (await bench.stored(waiting)).status is RunStatus.QUEUED
        gate.touch()
        async with asyncio.timeout(10):
            assert (await bench.over(await bench.stored(waiting))).status is DONE


async def test_one_whose_other_was_removed_does_not_wait_for_ever(bench: Bench) -> None:
    first = await bench.finished("true")
    await bench.runs.remove([first.id])
    run = await bench.engine.submit(follower(first))
    assert (await bench.over(run)).status is SKIPPED
