"""Slots become runs, once each: with a clock that is set, a real engine and a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.identity import boot_id, own_identity
from fastapi_app.errors import JobExistsError
from fastapi_app.metrics import Histogram
from fastapi_app.models import Group, Language, RunRequest, RunStatus
from fastapi_app.schedules import CatchUp, Overlap, Slot, SlotState, TaskKind
from fastapi_app.services.ids import new_id
from fastapi_app.storage.slots import Move
from tests.fastapi_app.services.planning import START, Bed, Clock, planning

if TYPE_CHECKING:
    from pathlib import Path

C, F, D, B = SlotState.CLAIMED, SlotState.FIRED, SlotState.COMPLETED, SlotState.FAILED
W, S, M = SlotState.WAITING, SlotState.SKIPPED, SlotState.MISSED
GATED = "while [ ! -e {gate} ]; do sleep 0.01; done"
DEAD = f"{boot_id()}:1:1"
SECRET = "a secret of sixteen"


async def test_each_slot_becomes_one_run(bed: Bed) -> None:
    job = await bed.job("echo $MCLI_JOB_ID $MCLI_SLOT")
    for _ in range(3):
        await bed.after(60)
        await bed.planner.look()
        await bed.over(job)
    assert await bed.states(job) == [(60, D), (120, D), (180, D)]
    slot = (await bed.found(job))[0]
    run = await bed.bench.runs.get(slot.id)
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    assert bed.bench.printed(run) == f"{job.id} 2026-09-21T14:15:00Z\n"
    assert (await bed.scheduler.get(job.id)).fired == 3


async def test_an_hour_without_a_planner(bed: Bed) -> None:
    jobs = {
        catch_up: await bed.job(
            name=catch_up, every="20m", catch_up=catch_up, overlap=Overlap.ALLOW
        )
        for catch_up in CatchUp
    }
    await bed.after(3700)
    found = {}
    for catch_up, job in jobs.items():
        await bed.over(job)
        found[catch_up] = [state for _, state in await bed.states(job)]
    assert found == {
        CatchUp.NONE: [M, M, M],
        CatchUp.LATEST: [M, M, D],
        CatchUp.ALL: [D, D, D],
    }


async def test_a_slot_that_meets_the_run_before(bed: Bed, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    jobs = {
        overlap: await bed.job(GATED.format(gate=gate), name=overlap, overlap=overlap)
        for overlap in Overlap
    }
    for _ in range(3):
        await bed.after(60)
    states = {o: [s for _, s in await bed.states(job)] for o, job in jobs.items()}
    assert states == {
        Overlap.SKIP: [F, S, S],
        Overlap.QUEUE: [F, W, W],
        Overlap.ALLOW: [F, F, F],
    }
    latest = await bed.scheduler.latest(list(jobs.values()))
    assert {o: latest[job.id].slot.at - START for o, job in jobs.items()} == {
        Overlap.SKIP: 180,
        Overlap.QUEUE: 60,  # what waits has yet to become something
        Overlap.ALLOW: 180,
    }
    gate.touch()
    for _ in range(3):  # those that wait go one after the other
        for job in jobs.values():
            await bed.over(job)
    states = {o: [s for _, s in await bed.states(job)] for o, job in jobs.items()}
    assert states == {
        Overlap.SKIP: [D, S, S],
        Overlap.QUEUE: [D, D, D],
        Overlap.ALLOW: [D, D, D],
    }


async def test_a_paused_job_rests(bed: Bed, tmp_path: Path) -> None:
    job = await bed.job(GATED.format(gate=tmp_path / "gate"), overlap=Overlap.QUEUE)
    await bed.after(60)
    await bed.after(60)
    await bed.scheduler.pause(job.id)
    assert [s for _, s in await bed.states(job)] == [F, S]
    await bed.after(600)
    assert len(await bed.found(job)) == 2
    resumed = await bed.scheduler.resume(job.id)
    assert resumed.next_slot == START + 780
    (tmp_path / "gate").touch()
    await bed.over(job)
    await bed.after(60)
    assert [at for at, _ in await bed.states(job)] == [60, 120, 780]


async def test_a_clock_that_is_put_back_fires_nothing_twice(bed: Bed) -> None:
    job = await bed.job()
    await bed.after(60)
    await bed.over(job)
    bed.clock.now -= 3600
    await bed.planner.look()
    # Planned anew it comes upon the same moments once more.
    policy = replace(job.policy, window=10.0)
    await bed.scheduler.change(job.id, lambda found: replace(found, policy=policy))
    bed.clock.now += 3600
    await bed.planner.look()
    await bed.over(job)
    # The first is that from which periods are counted.
    assert await bed.states(job) == [(0, D), (60, D)]
    await bed.after(60)
    await bed.over(job)
    assert await bed.states(job) == [(0, D), (60, D), (120, D)]


async def test_a_job_that_is_removed_while_it_runs(bed: Bed, tmp_path: Path) -> None:
    job = await bed.job(GATED.format(gate=tmp_path / "gate"))
    await bed.after(60)
    (slot,) = await bed.found(job)
    await bed.scheduler.delete(job.id)
    await bed.after(60)
    assert await bed.found(job) == []
    (tmp_path / "gate").touch()
    run = await bed.bench.runs.get(slot.id)
    assert run is not None
    assert (await bed.bench.over(run)).status is RunStatus.COMPLETED
    await bed.planner.look()


async def test_more_is_due_than_may_wait(home: Path) -> None:
    async with planning(home, max_running=2, max_queued=7) as bed:
        jobs = [await bed.job(name=f"job-{number}") for number in range(30)]
        bed.clock.now += 60
        fired: set[str] = set()
        while len(fired) < 30:
            await bed.planner.look()
            for job in jobs:
                await bed.over(job)
                fired |= {slot.id for slot in await bed.found(job)}
        assert [await bed.states(job) for job in jobs] == [[(60, D)]] * 30


async def claimed(bed: Bed, job_id: str, owner: str, state: SlotState = C) -> Slot:
    """A slot that somebody has claimed a while ago and not followed up."""
    slot = Slot(
        id=new_id(),
        job_id=job_id,
        at=START - 1000,
        state=state,
        decided_at=bed.clock.now - 5,
        owner=owner,
    )
    await bed.slots.add(slot)
    return slot


async def test_a_claim_of_a_dead_server_is_followed_up_once(bed: Bed) -> None:
    job = await bed.job(every="1d")
    await claimed(bed, job.id, DEAD)
    await bed.planner.look()
    await bed.over(job)
    assert [state for _, state in await bed.states(job)] == [D]


async def test_a_claim_whose_run_was_accepted_is_not_fired_again(bed: Bed) -> None:
    job = await bed.job("echo again", every="1d")
    slot = await claimed(bed, job.id, DEAD)
    request = RunRequest(run_id=slot.id)
    run = await bed.workflows.accept("echo once", request)
    await bed.bench.over(run)
    await bed.planner.look()
    await bed.over(job)
    assert [state for _, state in await bed.states(job)] == [D]
    assert bed.bench.printed(run) == "once\n"


async def test_a_name_that_was_taken_meanwhile_is_said_to_be(bed: Bed) -> None:
    job, other = await bed.job(name="one"), await bed.job(name="two")
    with pytest.raises(JobExistsError):
        await bed.jobs.add(replace(job, id="another"))
    with pytest.raises(JobExistsError):
        await bed.jobs.change(replace(other, name="one"), other.revision, replan=False)


async def test_a_run_that_was_taken_over_is_not_started_any_more(bed: Bed) -> None:
    bed.bench.engine.change_group(Group("default", paused=True))
    job = await bed.job("echo here")
    await bed.after(60)
    (slot,) = await bed.found(job)
    mine = own_identity()
    assert not await bed.bench.runs.take_over(slot.id, 2, mine, "1:1")  # there are no steps
    assert await bed.bench.runs.take_over(slot.id, 1, mine, "1:1")
    run = await bed.bench.runs.get(slot.id)
    assert run is not None
    over = bed.bench.engine.over(run)
    bed.bench.engine.change_group(Group("default"))
    await over.wait()
    after = await bed.bench.runs.get(slot.id)
    assert after is not None
    assert (after.status, after.owner, bed.bench.printed(run)) == (RunStatus.QUEUED, "1:1", "")


async def test_what_has_begun_is_not_taken_over(bed: Bed) -> None:
    bed.bench.engine.change_group(Group("default", paused=True))
    job = await bed.job()
    await bed.after(60)
    (slot,) = await bed.found(job)
    mine = own_identity()
    assert not await bed.bench.runs.begin(slot.id, "1:1", boot_id())
    assert await bed.bench.runs.begin(slot.id, mine, boot_id())
    assert not await bed.bench.runs.take_over(slot.id, 1, mine, "1:1")
    assert await bed.slots.not_begun() == []
    bed.bench.engine.change_group(Group("default"))
    await bed.over(job)
    assert [state for _, state in await bed.states(job)] == [D]


async def test_a_claim_of_a_living_server_is_left_to_it_for_a_minute(bed: Bed) -> None:
    job = await bed.job(every="1d")
    await claimed(bed, job.id, "another-machine:7:8")
    await bed.after(50)
    assert [state for _, state in await bed.states(job)] == [C]
    await bed.after(20)
    await bed.over(job)
    assert [state for _, state in await bed.states(job)] == [D]


async def test_a_claim_of_our_own_that_failed_is_tried_again(bed: Bed) -> None:
    job = await bed.job(every="1d")
    await claimed(bed, job.id, f"{boot_id()}:{own_identity()}")
    await bed.planner.look()
    await bed.over(job)
    assert [state for _, state in await bed.states(job)] == [D]


async def test_a_stopped_daemon_fires_nothing(bed: Bed) -> None:
    job = await bed.job()
    await bed.state.switch_daemon(running=False)
    await bed.after(60)
    (slot,) = await bed.found(job)
    assert (slot.state, slot.reason) == (S, "the daemon is stopped")


async def test_a_command_that_is_gone_is_a_failure_with_its_reason(bed: Bed) -> None:
    await bed.commands.create("deploy", "echo $1", Language.SHELL)
    task = {"name": "deploy", "args": ["v2"]}
    job = await bed.job(kind=TaskKind.COMMAND, task=task)
    await bed.after(60)
    await bed.over(job)
    await bed.commands.delete("deploy")
    await bed.after(60)
    first, second = await bed.found(job)
    assert first.state is D
    assert second.state is B
    assert "There is no command 'deploy'" in str(second.reason)


async def test_old_runs_are_cleaned_up(bed: Bed) -> None:
    old = await bed.bench.finished("echo old")
    bed.clock.now = (old.finished_at or 0.0) + 10
    kept = await bed.bench.finished("echo new", created_at=bed.clock.now)
    job = await bed.job(kind=TaskKind.CLEANUP, task={"older_than": 9.0})
    await bed.after(60)
    (slot,) = await bed.found(job)
    assert slot.state in {SlotState.RUNNING, D}
    async with asyncio.timeout(10):
        while (await bed.found(job))[0].state is not D:
            await asyncio.sleep(0.01)
    (slot,) = await bed.found(job)
    assert str(slot.reason).startswith("2 runs removed")
    assert await bed.bench.runs.get(old.id) is None
    assert kept


async def test_each_move_is_counted_by_whom_it_was_made(bed: Bed) -> None:
    job = await bed.job("exit 3", every="1m", jitter=50)
    assert job.due_at is not None
    bed.clock.now = job.due_at
    await bed.planner.look()
    (fired,) = await bed.found(job)
    await bed.over(job)
    moved = {"claimed": 1, "fired": 1, "failed": 1}
    assert bed.counted("mcli_scheduler_slots") == moved
    await bed.planner.move([Move(fired, SlotState.COMPLETED)])  # another server was faster
    assert bed.counted("mcli_scheduler_slots") == moved
    assert [slot.state for slot in await bed.found(job)] == [SlotState.FAILED]
    lag = bed.counted("mcli_scheduler_lag_seconds")[""]
    assert isinstance(lag, Histogram)
    assert sum(lag.counts) == 1
    assert lag.sum == pytest.approx(0, abs=1e-6)


async def test_a_planner_goes_on_where_another_has_ended(home: Path) -> None:
    clock = Clock()
    async with planning(home, clock) as bed:
        job = await bed.job(catch_up=CatchUp.ALL, overlap=Overlap.ALLOW)
        await bed.after(60)
        await bed.bench.disown()
    clock.now += 120
    async with planning(home, clock) as bed:
        await bed.planner.look()
        await bed.over(job)
        assert await bed.states(job) == [(60, D), (120, D), (180, D)]
