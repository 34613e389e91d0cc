"""Who starts next: slots, groups, priorities, and a queue that is full."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.engine.queue import Queue
from fastapi_app.errors import GroupNotFoundError, QueueFullError
from fastapi_app.models import Group, RunOptions, RunStatus
from tests.fastapi_app.engine.conftest import Bench, background, opened

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.models import Run

GATE = "while [ ! -e {gate} ]; do sleep 0.01; done"


def a_run(name: str, priority: int = 0, group: str = "default") -> Run:
    """A run that waits for nothing but a slot."""
    return background("true", id=name, group=group, options=RunOptions(priority=priority))


def test_higher_priorities_go_first_and_equal_ones_in_turn() -> None:
    queue = Queue(10)
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)]:
        queue.push(a_run(name, priority))
    assert list(queue.take()) == ["b", "d", "a", "c", "e"]


def test_slots_hold_over_all_and_in_each_group() -> None:
    queue = Queue(3)
    queue.set_groups([Group("one", slots=1), Group("off", paused=True)])
    for name, group in [("a", "one"), ("b", "one"), ("p", "off"), ("c", "default")]:
        queue.push(a_run(name, group=group))
    assert list(queue.take()) == ["a", "c"]
    assert queue.counts("one") == (1, 1)
    assert queue.counts("off") == (0, 1)
    queue.release("one")
    assert list(queue.take()) == ["b"]
    queue.set_groups([Group("off")])
    assert list(queue.take()) == ["p"]
    queue.push(a_run("d"))
    assert list(queue.take()) == [], "three run already"


def test_nobody_overtakes_by_coming_later() -> None:
    queue = Queue(1)
    assert queue.try_take("default")
    assert not queue.try_take("default")
    queue.push(a_run("a"))
    queue.release("default")
    assert not queue.try_take("default"), "somebody waits"
    assert list(queue.take()) == ["a"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "discard", "release", "take"]),
            st.integers(0, 9),
            st.integers(-2, 2),
            st.sampled_from(["default", "two", "one"]),
        )
    )
)
def test_whatever_happens_the_counts_are_right(steps: list[tuple[str, int, int, str]]) -> None:
    queue = Queue(4)
    queue.set_groups([Group("two", slots=2), Group("one", slots=1)])
    waiting: dict[str, Run] = {}
    running: list[Run] = []
    for number, (act, which, priority, group) in enumerate(steps):
        if act == "push":
            run = a_run(str(number), priority, group)
            queue.push(run)
            waiting[run.id] = run
        elif act == "discard" and waiting:
            run_id = list(waiting)[which % len(waiting)]
            queue.discard(run_id)
            del waiting[run_id]
        elif act == "release" and running:
            queue.release(running.pop(which % len(running)).group)
        elif act == "take":
            running += [waiting.pop(run_id) for run_id in queue.take()]
        assert queue.waiting == len(waiting)
        assert queue.running == len(running) <= 4
        for name, slots in (("two", 2), ("one", 1), ("default", 4)):
            holding = sum(run.group == name for run in running)
            assert queue.counts(name) == (
                holding,
                sum(run.group == name for run in waiting.values()),
            )
            assert holding <= slots


async def test_priorities_decide_among_runs_that_wait(single: Bench, tmp_path: Path) -> None:
    gate, order = tmp_path / "gate", tmp_path / "order"
    first = await single.engine.submit(background(GATE.format(gate=gate)))
    await single.engine.until_started(first)
    waiting = [
        await single.engine.submit(
            background(f"echo {priority} >> {order}", options=RunOptions(priority=priority))
        )
        for priority in (1, 2)
    ]
    gate.touch()
    for run in waiting:
        await single.over(run)
    assert order.read_text() == "2\n1\n"


async def test_a_full_queue_refuses_and_says_when_to_come_again(
    single: Bench, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    accepted = [await single.engine.submit(background(GATE.format(gate=gate))) for _ in range(3)]
    with pytest.raises(QueueFullError) as refused:
        await single.engine.submit(background("true"))
    assert refused.value.retry_after
    with pytest.raises(QueueFullError):
        await single.engine.attend(background("true"))
    gate.touch()
    for run in accepted:
        assert (await single.over(run)).status is RunStatus.COMPLETED
    assert (await single.finished("true")).status is RunStatus.COMPLETED


async def test_an_unknown_group_is_refused(bench: Bench) -> None:
    with pytest.raises(GroupNotFoundError, match="nope"):
        await bench.engine.submit(background("true", group="nope"))
    with pytest.raises(GroupNotFoundError, match="nope"):
        await bench.engine.attend(background("true", group="nope"))


async def test_a_client_waits_for_a_slot_and_may_leave(single: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = await single.engine.submit(background(GATE.format(gate=gate)))
    await single.engine.until_started(first)
    leaving = asyncio.create_task(single.engine.attend(background("echo never")))
    staying = asyncio.create_task(single.engine.attend(background("echo here")))
    async with asyncio.timeout(5):
        while single.engine.queue.waiting < 2:
            await asyncio.sleep(0)
    leaving.cancel()
    gate.touch()
    run = await staying
    assert single.printed(run) == "here\n"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (single.engine.queue.waiting, single.engine.queue.running) == (0, 0)


async def test_a_paused_group_starts_nothing_until_it_is_resumed(
    bench: Bench, tmp_path: Path
) -> None:
    bench.engine.change_group(Group("g", paused=True))
    paused = await bench.engine.submit(background(f"touch {tmp_path}/ran", group="g"))
    assert (await bench.finished("true")).status is RunStatus.COMPLETED, "others go on"
    assert (await bench.stored(paused)).status is RunStatus.QUEUED
    assert not (tmp_path / "ran").exists()
    bench.engine.change_group(Group("g"))
    assert (await bench.over(paused)).status is RunStatus.COMPLETED


async def test_ten_thousand_wait_and_are_cancelled_before_they_start(home: Path) -> None:
    async with opened(home, max_running=1, max_queued=10_000) as bench:
        bench.engine.change_group(Group("default", paused=True))
        submitting = (bench.engine.submit(background("true")) for _ in range(10_000))
        accepted = await asyncio.gather(*submitting)
        assert bench.engine.queue.waiting == 10_000
        for run in accepted[:3]:
            stopped, signal = await bench.engine.stop(run)
            assert (stopped.status, signal) == (RunStatus.CANCELLED, None)
        assert bench.engine.queue.waiting == 9_997
        await bench.disown()
    async with opened(home, max_running=1, max_queued=10_000) as bench:
        bench.engine.change_group(Group("default", paused=True))
        stored = await bench.runs.by_id([run.id for run in accepted[3:]])
        assert len(stored) == 9_997
        waiting = [run for run in stored.values() if run.status is RunStatus.QUEUED]
        async with asyncio.timeout(20):
            while bench.engine.queue.waiting < len(waiting):
                await asyncio.sleep(0.01)
