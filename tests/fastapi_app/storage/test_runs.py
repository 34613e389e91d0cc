"""The runs table: what goes in comes out, and only the first end counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError

from fastapi_app.models import (
    DEFAULT_OPTIONS,
    Limits,
    Retry,
    Run,
    RunFilter,
    RunKind,
    RunOptions,
    RunStatus,
    When,
)
from fastapi_app.storage.runs import RunStore
from tests.fastapi_app.storage.rows import a_run

if TYPE_CHECKING:
    from fastapi_app.storage.database import Database


@pytest.fixture
def runs(database: Database) -> RunStore:
    """Runs in that database."""
    return RunStore(database)


FULL = a_run(
    kind=RunKind.WORKFLOW,
    name="ünïcode ✓ 🎉",
    command="printf '%s' \"a\nb\"; echo 100% :name ?",
    command_id="c" * 36,
    process_id="p" * 36,
    args=("", "ä", "--x=1"),
    env={"A": "1", "B": "ö\n"},
    cwd="/tmp",
    timeout=0.25,
    status=RunStatus.RUNNING,
    reason="because",
    attempt=3,
    stop_requested=True,
    pid=2**22,
    pid_started=2**40,
    boot_id="b" * 36,
    owner="1:2",
    started_at=1000.123456,
    finished_at=2000.654321,
    returncode=-15,
    stdout_bytes=2**40,
    stderr_bytes=7,
    truncated=True,
)


async def test_every_field_comes_back_as_it_was_stored(runs: RunStore) -> None:
    for run in (FULL, a_run()):
        await runs.add(run)
        assert await runs.get(run.id) == run


async def test_an_unknown_id_is_none(runs: RunStore) -> None:
    for unknown in ("x", "", "a\0b", "\ud800", "ß" * 5000):
        assert await runs.get(unknown) is None


async def test_a_queued_run_is_started_once(runs: RunStore) -> None:
    run = a_run()
    await runs.add(run)
    started = replace(run, pid=7, pid_started=8, boot_id="b", owner="1:2", started_at=1.5)
    assert await runs.mark_started(started)
    assert await runs.get(run.id) == replace(started, status=RunStatus.RUNNING)
    assert not await runs.mark_started(replace(started, pid=9))
    stored = await runs.get(run.id)
    assert stored is not None
    assert stored.pid == 7


async def test_only_the_first_end_counts(runs: RunStore) -> None:
    for status in [status for status in RunStatus if status.final]:
        run = a_run(status=RunStatus.RUNNING)
        await runs.add(run)
        ended = replace(run, status=status, returncode=3, finished_at=9.5, stdout_bytes=4)
        assert await runs.finish(ended) == ended
        late = replace(run, status=RunStatus.LOST, reason="late", finished_at=10.0)
        assert await runs.finish(late) == ended


async def test_a_run_asked_to_stop_ends_cancelled_whoever_sees_its_end(runs: RunStore) -> None:
    run = a_run(kind=RunKind.WORKFLOW, status=RunStatus.RUNNING)
    await runs.add(run)
    await runs.request_stop(run.id, "killed")
    await runs.request_stop(run.id, None)
    ended = await runs.finish(replace(run, status=RunStatus.FAILED, returncode=-9, reason="other"))
    assert (ended.status, ended.reason, ended.returncode) == (RunStatus.CANCELLED, "killed", -9)


async def test_stopping_what_is_over_changes_nothing(runs: RunStore) -> None:
    run = a_run(status=RunStatus.COMPLETED)
    await runs.add(run)
    await runs.request_stop(run.id, "too late")
    assert await runs.get(run.id) == run


async def test_many_ends_at_once_have_one_winner_each(runs: RunStore) -> None:
    many = [a_run(kind=RunKind.WORKFLOW, status=RunStatus.RUNNING) for _ in range(50)]
    await asyncio.gather(*(runs.add(run) for run in many))
    good = [replace(run, status=RunStatus.COMPLETED, returncode=0) for run in many]
    bad = [replace(run, status=RunStatus.FAILED, returncode=1) for run in many]
    ended = await asyncio.gather(
        *(runs.finish(run) for pair in zip(good, bad, strict=True) for run in pair)
    )
    for first, second in zip(ended[::2], ended[1::2], strict=True):
        assert first == second
    assert await runs.unfinished() == []


async def test_pages_are_newest_first_and_meet_without_gap(runs: RunStore) -> None:
    # Three runs share each moment: then the id decides.
    many = [a_run(created_at=1000.0 + n // 3) for n in range(20)]
    await asyncio.gather(*(runs.add(run) for run in many))
    seen: list[Run] = []
    before = None
    while page := await runs.page(RunFilter(kinds=[RunKind.EXECUTE]), before=before, limit=7):
        seen += page
        before = (page[-1].created_at, page[-1].id)
    assert seen == sorted(many, key=lambda run: (run.created_at, run.id), reverse=True)


async def test_pages_filter_by_every_field(runs: RunStore) -> None:
    workflow = a_run(
        kind=RunKind.WORKFLOW, name="w", status=RunStatus.FAILED, created_at=5.0, finished_at=6.0
    )
    process = a_run(kind=RunKind.PROCESS, name="w", group="g", created_at=7.0)
    step = a_run(kind=RunKind.STEP, parent_id=workflow.id, created_at=8.0)
    for run in (workflow, process, step):
        await runs.add(run)

    async def found(**wanted: Any) -> list[str]:  # noqa: ANN401 - whatever the filter takes
        page = await runs.page(RunFilter(**wanted), limit=9)
        assert sorted(await runs.ids(RunFilter(**wanted))) == sorted(run.id for run in page)
        return [run.id for run in page]

    assert await found() == [step.id, process.id, workflow.id]
    assert await found(kinds=[RunKind.PROCESS]) == [process.id]
    assert await found(statuses=(RunStatus.FAILED, RunStatus.LOST)) == [workflow.id]
    assert await found(kinds=[RunKind.WORKFLOW], name="w") == [workflow.id]
    assert await found(name="%") == []
    assert await found(group="g") == [process.id]
    assert await found(parent_id=workflow.id) == [step.id]
    assert await found(since=7.0) == [step.id, process.id]
    assert await found(since=7.0, until=8.0) == [process.id]
    assert await found(finished_before=6.5) == [workflow.id]
    assert await runs.page(RunFilter(name="a\0b"), limit=9) == []
    assert [run.id for run in await runs.steps(workflow.id)] == [step.id]


async def test_options_come_back_and_the_defaults_cost_nothing(runs: RunStore) -> None:
    full = a_run(
        group="g",
        not_before=5.5,
        parent_id="p" * 36,
        options=RunOptions(
            priority=-3,
            after=("a", "b"),
            when=When.FAILURE,
            retry=Retry(3, 0.5, 1.5, 9.0),
            limits=Limits(5, 2**40, 7, 100),
            secrets=("TOKEN",),
            stdin=True,
            steps=4,
            retry_of="r" * 36,
        ),
    )
    await runs.add_together([full, other := a_run()])
    assert await runs.get(full.id) == full
    stored = await runs.get(other.id)
    assert stored is not None
    assert stored.options is DEFAULT_OPTIONS


async def test_runs_added_together_are_added_all_or_none(runs: RunStore) -> None:
    await runs.add(taken := a_run())
    with pytest.raises(IntegrityError):
        await runs.add_together([other := a_run(), taken])
    assert await runs.get(other.id) is None


async def test_the_next_attempt_waits_in_the_queue(runs: RunStore) -> None:
    run = a_run(status=RunStatus.RUNNING, pid=7, pid_started=8, boot_id="b", returncode=1)
    await runs.add(run)
    again = replace(run, attempt=2, not_before=99.5, reason="exit code 1", returncode=1)
    assert await runs.requeue(again)
    stored = await runs.get(run.id)
    assert stored == replace(
        again, status=RunStatus.QUEUED, pid=None, pid_started=None, boot_id=None
    )
    assert not await runs.requeue(replace(again, attempt=3)), "it does not run"
    assert await runs.mark_started(replace(again, pid=9, started_at=100.0))
    stored = await runs.get(run.id)
    assert stored is not None
    assert (stored.pid, stored.reason, stored.not_before) == (9, None, None)


async def test_what_is_to_be_stopped_is_not_tried_again(runs: RunStore) -> None:
    run = a_run(status=RunStatus.RUNNING)
    await runs.add(run)
    await runs.request_stop(run.id, "enough")
    assert not await runs.requeue(replace(run, attempt=2))
    stored = await runs.get(run.id)
    assert stored is not None
    assert (stored.status, stored.attempt, stored.reason) == (RunStatus.RUNNING, 1, "enough")


async def test_only_what_is_over_is_removed(runs: RunStore) -> None:
    over = [a_run(status=RunStatus.COMPLETED) for _ in range(3)]
    active = a_run(status=RunStatus.RUNNING)
    await runs.add_together([*over, active])
    removed = await runs.remove([*(run.id for run in over), active.id, "unknown"])
    assert sorted(removed) == sorted(run.id for run in over)
    assert await runs.page(RunFilter(), limit=9) == [active]
    assert {t.run_id for t in await runs.transitions_after(0, 100)} == {active.id}


async def test_the_latest_of_a_name_is_one_that_still_goes_on(runs: RunStore) -> None:
    running = a_run(kind=RunKind.WORKFLOW, name="n", created_at=1.0, status=RunStatus.RUNNING)
    early = a_run(
        kind=RunKind.WORKFLOW, name="n", created_at=3.0, finished_at=4.0, status=RunStatus.FAILED
    )
    late = a_run(
        kind=RunKind.WORKFLOW, name="n", created_at=2.0, finished_at=5.0, status=RunStatus.FAILED
    )
    for run in (early, late):
        await runs.add(run)
    assert await runs.latest_named("n", RunKind.WORKFLOW) == late
    await runs.add(running)
    assert await runs.latest_named("n", RunKind.WORKFLOW) == running
    assert await runs.latest_named("n", RunKind.PROCESS) is None
    assert await runs.latest_named("\0", RunKind.WORKFLOW) is None


async def test_many_are_looked_up_at_once(runs: RunStore) -> None:
    first, second = a_run(), a_run()
    for run in (first, second):
        await runs.add(run)
    assert await runs.by_id([first.id, second.id, "x"]) == {first.id: first, second.id: second}
    assert await runs.by_id([]) == {}


async def test_a_run_changes_its_owner(runs: RunStore) -> None:
    run = a_run(owner="1:2")
    await runs.add(run)
    await runs.adopt([run.id], "3:4")
    assert await runs.unfinished() == [replace(run, owner="3:4")]
