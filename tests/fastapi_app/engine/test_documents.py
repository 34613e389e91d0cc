"""Documents of steps on bad days: wide, deep, stopped, paused, skipped, restarted, out of time."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.errors import GroupNotFoundError, QueueFullError
from fastapi_app.models import Group, Retry, Run, RunKind, RunOptions, RunStatus, When
from fastapi_app.storage.tables import runs
from tests.fastapi_app.engine.conftest import Bench, background, gone, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MANY = 1000
SOME = 300


def step(command: str, *needs: Run, **fields: Any) -> Run:  # noqa: ANN401 - fields of Run
    """A step that follows those it needs."""
    options = {name: fields.pop(name) for name in ("when", "retry", "priority") if name in fields}
    after = tuple(other.id for other in needs)
    return background(
        command, kind=RunKind.STEP, name=command, options=RunOptions(after=after, **options)
    ).but(**fields)


def document(steps: Sequence[Run], **fields: Any) -> tuple[Run, list[Run]]:  # noqa: ANN401
    """The run of a whole document, and its steps."""
    run = background("doc", kind=RunKind.WORKFLOW, options=RunOptions(steps=len(steps)))
    return run.but(**fields), [each.but(parent_id=run.id) for each in steps]


async def submitted(bench: Bench, *steps: Run, **fields: Any) -> Run:  # noqa: ANN401
    """A document that was accepted."""
    return await bench.engine.submit_document(*document(steps, **fields))


async def statuses(bench: Bench, run: Run) -> dict[str, RunStatus]:
    """How its steps stand, by name."""
    return {each.name: each.status for each in await bench.runs.steps(run.id)}


async def running(bench: Bench, run: Run) -> Run:
    """The run once the database has it running."""
    async with asyncio.timeout(10):
        while (stored := await bench.stored(run)).status is not RunStatus.RUNNING:
            await asyncio.sleep(0.01)
    return stored


def left_open(engine: EmbeddedEngine) -> int:
    """How many runs the engine still holds on to."""
    return len(engine._active) + len(engine._documents._open) + engine._admission.waiting


async def test_a_thousand_steps_side_by_side_and_one_behind_them_all(home: Path) -> None:
    async with opened(home, max_running=50, max_queued=2000) as bench:
        wide = [step("true", name=f"s{n}") for n in range(MANY - 1)]
        run = await submitted(bench, *wide, step("echo last", *wide, name="last"))
        ended = await bench.over(run)
        assert (ended.status, ended.returncode) == (RunStatus.COMPLETED, 0)
        steps = await bench.runs.steps(run.id)
        last = steps[-1]
        assert bench.printed(last) == "last\n"
        assert last.started_at is not None
        assert all((each.finished_at or 0) <= last.started_at for each in steps[:-1])
        assert bench.printed(run).count("completed") == MANY
        assert left_open(bench.engine) == 0


async def test_a_chain_of_steps_runs_one_by_one(home: Path) -> None:
    async with opened(home, max_queued=2000) as bench:
        chain = [step("true", name="0")]
        for n in range(1, SOME):
            chain.append(step("true", chain[-1], name=str(n)))
        run = await submitted(bench, *chain)
        assert (await bench.over(run)).status is RunStatus.COMPLETED
        steps = await bench.runs.steps(run.id)
        assert [each.name for each in steps] == [str(n) for n in range(SOME)]
        for before, behind in itertools.pairwise(steps):
            assert (before.finished_at or 0) <= (behind.started_at or 0)


async def test_a_chain_whose_beginning_fails_is_skipped_to_its_end(home: Path) -> None:
    async with opened(home, max_queued=2000) as bench:
        chain = [step("exit 9", name="0")]
        for n in range(1, SOME):
            chain.append(step("true", chain[-1], name=str(n)))
        run = await submitted(bench, *chain)
        ended = await bench.over(run)
        assert (ended.status, ended.returncode) == (RunStatus.FAILED, 9)
        steps = await bench.runs.steps(run.id)
        assert {each.status for each in steps[1:]} == {RunStatus.CANCELLED}
        assert {each.pid for each in steps[1:]} == {None}


async def test_a_stop_while_many_steps_start_leaves_nothing_behind(home: Path) -> None:
    async with opened(home, max_running=40, max_queued=2000, grace=0.5) as bench:
        wide = [step("exec sleep 60", name=f"s{n}") for n in range(SOME)]
        run = await submitted(bench, *wide)
        await running(bench, run)
        began = time.monotonic()
        stopped, _ = await bench.engine.stop(run)
        assert time.monotonic() - began < 20
        assert stopped.status is RunStatus.CANCELLED
        steps = await bench.runs.steps(run.id)
        assert {each.status for each in steps} == {RunStatus.CANCELLED}
        for each in steps:
            if each.pid is not None:
                await gone(each.pid)
        assert left_open(bench.engine) == 0
        assert await bench.finished("true")


async def test_stopped_before_its_first_step_it_never_runs(bench: Bench) -> None:
    bench.engine.change_group(Group("default", paused=True))
    first = step("echo never")
    run = await submitted(bench, first, step("echo never", first, when=When.ANY, name="x"))
    both = await asyncio.gather(bench.engine.stop(run), bench.engine.stop(run))
    assert {ended.status for ended, _ in both} == {RunStatus.CANCELLED}
    bench.engine.change_group(Group("default"))
    assert {each.pid for each in await bench.runs.steps(run.id)} == {None}
    assert (await bench.stored(run)).started_at is None
    assert (await bench.engine.stop(await bench.stored(run)))[1] is None


async def test_a_document_none_of_whose_steps_ran_has_not_completed(bench: Bench) -> None:
    bad = await bench.finished("exit 1")
    first = step("echo never").but(options=RunOptions(after=(bad.id,)))
    run = await submitted(bench, first, step("echo never", first, name="second"))
    ended = await bench.over(run)
    assert (ended.status, ended.returncode) == (RunStatus.CANCELLED, None)
    assert ended.reason == f"skipped: {bad.id} failed"
    assert ended.started_at is None
    follower = await bench.finished("echo never", options=RunOptions(after=(run.id,)))
    assert follower.status is RunStatus.CANCELLED


async def test_some_steps_skipped_is_no_failure(bench: Bench) -> None:
    good = step("true")
    run = await submitted(bench, good, step("echo never", good, when=When.FAILURE))
    assert (await bench.over(run)).status is RunStatus.COMPLETED
    assert await statuses(bench, run) == {
        "true": RunStatus.COMPLETED,
        "echo never": RunStatus.CANCELLED,
    }


async def test_a_group_paused_in_the_middle(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    bench.engine.change_group(Group("g"))
    os.mkfifo(gate)
    first = step(f"cat {gate}", name="first", group="g")
    run = await submitted(bench, first, step("echo second", first, name="second", group="g"))
    await running(bench, run)
    bench.engine.change_group(Group("g", paused=True))
    gate.write_text("")
    async with asyncio.timeout(10):
        while (await statuses(bench, run))["first"] is not RunStatus.COMPLETED:
            await asyncio.sleep(0.01)
    assert await bench.finished("true"), "others go on"
    assert (await statuses(bench, run))["second"] is RunStatus.QUEUED
    bench.engine.change_group(Group("g"))
    assert (await bench.over(run)).status is RunStatus.COMPLETED


async def test_urgent_steps_go_first(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with opened(home, max_running=1) as bench:
        first = step("true")
        behind = [step(f"echo {n} >> {log}", first, priority=n, name=str(n)) for n in (1, 3, -1, 2)]
        run = await submitted(bench, first, *behind)
        assert (await bench.over(run)).status is RunStatus.COMPLETED
        assert log.read_text().split() == ["3", "2", "1", "-1"]


async def test_a_time_out_ends_steps_that_run_and_those_that_wait(bench: Bench) -> None:
    first = step("exec sleep 60")
    run = await submitted(bench, first, step("echo never", first, when=When.ANY), timeout=0.3)
    ended = await bench.over(run)
    assert (ended.status, ended.reason) == (RunStatus.TIMED_OUT, "timed out after 0.3 seconds")
    assert ended.started_at is not None
    assert 0.25 <= (ended.finished_at or 0) - ended.started_at < 5
    assert set((await statuses(bench, run)).values()) == {RunStatus.CANCELLED}
    assert await bench.finished("true")


async def test_a_step_that_takes_too_long_fails_the_document(bench: Bench) -> None:
    run = await submitted(bench, step("exec sleep 60", timeout=0.1, name="slow"))
    ended = await bench.over(run)
    assert (ended.status, ended.returncode) == (RunStatus.FAILED, -9)
    assert ended.reason == "step slow timed out: timed out after 0.1 seconds"


async def test_retries_of_a_step_go_on_across_restarts(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    flaky = step(
        f"echo try >> {log}; [ $(wc -l < {log}) -ge 3 ]",
        name="flaky",
        retry=Retry(times=3, delay=0.4, factor=1),
    )
    async with opened(home) as bench:
        run = await submitted(bench, flaky, step("echo done", flaky, name="done"))
        async with asyncio.timeout(10):
            while (await bench.stored(flaky)).attempt != 2:
                await asyncio.sleep(0.01)
        await bench.disown()
    async with opened(home) as bench:
        assert (await bench.over(run)).status is RunStatus.COMPLETED
        assert log.read_text() == "try\n" * 3
        assert (await bench.stored(flaky)).attempt == 3
        told = [(t.status, t.attempt) for t in await bench.runs.history(run.id)]
        assert [status for status, _ in told] == ["queued", "running", "completed"]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_time_out_holds_across_restarts_whatever_the_clock_says(
    home: Path, hours: int
) -> None:
    async with opened(home) as bench:
        run = await submitted(bench, step("exec sleep 60"), timeout=1.5)
        began = time.monotonic()
        started_at = (await running(bench, run)).started_at or 0
        # As the next server finds it that starts after the clock was set.
        async with bench.runs._db.write() as connection:
            moved = update(runs).where(runs.c.id == run.id)
            await connection.execute(moved.values(started_at=started_at - hours * 3600))
        await bench.disown()
    async with opened(home) as bench:
        ended = await bench.over(run)
        assert ended.status is RunStatus.TIMED_OUT
        assert 1.4 <= time.monotonic() - began < 5
        assert 1.4 <= (ended.finished_at or 0) - (ended.started_at or 0) < 5


@pytest.mark.parametrize("stage", range(4))
async def test_a_document_goes_on_wherever_it_was_left(
    home: Path, tmp_path: Path, stage: int
) -> None:
    """0: nothing has started; 1: a step runs; 2: the second one; 3: all but the end is told."""
    log, gates = tmp_path / "log", [tmp_path / f"gate{n}" for n in range(2)]
    first = step(f"echo 1 >> {log}; while [ ! -e {gates[0]} ]; do sleep 0.01; done", name="first")
    second = step(
        f"echo 2 >> {log}; while [ ! -e {gates[1]} ]; do sleep 0.01; done", first, name="second"
    )
    async with opened(home) as bench:
        bench.engine.change_group(Group("default", paused=stage == 0))
        run = await submitted(bench, first, second)
        for each in [first, second][: min(stage, 2)]:
            if each is second:
                gates[0].touch()
            await running(bench, each)
        if stage == 3:
            bench.engine._documents.forget(run.id)  # as when it is killed before that commit
            gates[1].touch()
            async with asyncio.timeout(10):
                while not (await bench.stored(second)).status.final:
                    await asyncio.sleep(0.01)
        await bench.disown()
    for gate in gates:
        gate.touch()
    async with opened(home) as bench:
        ended = await bench.over(run)
        assert (ended.status, ended.returncode) == (RunStatus.COMPLETED, 0)
        assert log.read_text() == "1\n2\n", "each ran once"
        assert [t.status for t in await bench.runs.history(run.id)] == [
            "queued",
            "running",
            "completed",
        ]


async def test_a_stop_that_a_restart_cut_short_is_finished(home: Path) -> None:
    first = step("exec sleep 60", name="first")
    async with opened(home) as bench:
        run = await submitted(bench, first, step("echo never", first, when=When.ANY, name="x"))
        pid = (await running(bench, first)).pid
        await bench.runs.request_stop(run.id, None)
        await bench.disown()
    async with opened(home) as bench:
        assert (await bench.over(run)).status is RunStatus.CANCELLED
        assert set((await statuses(bench, run)).values()) == {RunStatus.CANCELLED}
        await gone(pid or 0)


async def test_many_documents_at_once_keep_to_the_depth_of_the_queue(home: Path) -> None:
    async with opened(home, max_running=1, max_queued=25) as bench:
        bench.engine.change_group(Group("default", paused=True))
        asked = [submitted(bench, *(step("true") for _ in range(10))) for _ in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, Run)]
        assert len(accepted) == 2
        refused = [answer for answer in answers if isinstance(answer, QueueFullError)]
        assert len(refused) == 3
        assert len(await bench.runs.unfinished()) == 22, "all of a document or nothing"


async def test_a_document_in_a_group_there_is_none_of_is_refused(bench: Bench) -> None:
    run, steps = document([step("true")], group="nowhere")
    with pytest.raises(GroupNotFoundError):
        await bench.engine.submit_document(run, steps)
    assert not await bench.runs.unfinished()


async def test_a_log_that_cannot_be_written_holds_up_no_step(bench: Bench) -> None:
    first = step("true", name="first")
    run, steps = document([first, step("true", first, name="second")])
    # A folder in its place fails whoever opens it, root too.
    os.mkdir(f"{bench.logs.folder}/{run.id}.out")  # noqa: PTH102
    await bench.engine.submit_document(run, steps)
    async with asyncio.timeout(10):
        assert (await bench.over(run)).status is RunStatus.COMPLETED
    assert left_open(bench.engine) == 0
