"""The runs table: what goes in comes out, and only the first end counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fastapi_app.models import Run, RunKind, RunStatus
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
    while page := await runs.page(
        kinds=[RunKind.EXECUTE], statuses=[], name=None, before=before, limit=7
    ):
        seen += page
        before = (page[-1].created_at, page[-1].id)
    assert seen == sorted(many, key=lambda run: (run.created_at, run.id), reverse=True)


async def test_pages_filter_by_kind_status_and_name(runs: RunStore) -> None:
    workflow = a_run(kind=RunKind.WORKFLOW, name="w", status=RunStatus.FAILED)
    process = a_run(kind=RunKind.PROCESS, name="w")
    for run in (workflow, process, a_run()):
        await runs.add(run)

    async def found(
        *kinds: RunKind, statuses: tuple[RunStatus, ...] = (), name: str | None = None
    ) -> list[str]:
        page = await runs.page(kinds=kinds, statuses=statuses, name=name, before=None, limit=9)
        return [run.id for run in page]

    assert len(await found(*RunKind)) == 3
    assert await found(RunKind.PROCESS) == [process.id]
    assert await found(*RunKind, statuses=(RunStatus.FAILED, RunStatus.LOST)) == [workflow.id]
    assert await found(RunKind.WORKFLOW, name="w") == [workflow.id]
    assert await found(*RunKind, name="%") == []
    assert await found(*RunKind, name="a\0b") == []


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
    await runs.adopt(run.id, "3:4")
    assert await runs.unfinished() == [replace(run, owner="3:4")]
