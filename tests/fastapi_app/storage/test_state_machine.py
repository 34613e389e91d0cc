"""No path of a run breaks the rules, whoever writes: the store, and SQL of any other program."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_app.models import Run, RunStatus
from fastapi_app.storage.database import Database, open_database
from fastapi_app.storage.runs import RunStore
from tests.fastapi_app.storage.rows import a_run

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    T = TypeVar("T")

QUEUED, RUNNING = RunStatus.QUEUED, RunStatus.RUNNING
ENDS = [status for status in RunStatus if status.final]
LEGAL = {
    QUEUED: {RUNNING, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.LOST},
    RUNNING: set(ENDS),
} | {end: set[RunStatus]() for end in ENDS}


async def write_status(database: Database, run_id: str, status: str) -> None:
    """Change a status as a program would that knows no rules."""
    async with database.write() as connection:
        await connection.execute(
            text("UPDATE runs SET status = :status WHERE id = :id"),
            {"status": status, "id": run_id},
        )


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
async def test_the_database_refuses_what_is_illegal(
    database: Database, before: RunStatus, after: RunStatus
) -> None:
    runs = RunStore(database)
    await runs.add(run := a_run(status=before))
    if after in LEGAL[before] or after is before:
        await write_status(database, run.id, after)
    else:
        with pytest.raises(DBAPIError, match="illegal transition"):
            await write_status(database, run.id, after)
    stored = await runs.get(run.id)
    assert stored is not None
    assert stored.status is (after if after in LEGAL[before] else before)


async def test_an_unknown_status_is_refused(database: Database) -> None:
    await RunStore(database).add(run := a_run())
    with pytest.raises(DBAPIError, match="illegal"):
        await write_status(database, run.id, "done")


async def test_every_transition_is_written_down_with_time_reason_and_attempt(
    database: Database,
) -> None:
    runs = RunStore(database)
    await runs.add(run := a_run(created_at=10.0, name="n"))
    await runs.mark_started(replace(run, pid=1, started_at=11.0))
    await runs.requeue(replace(run, attempt=2, reason="exit code 1"))
    await runs.mark_started(replace(run, pid=2, started_at=13.0))
    await runs.finish(
        replace(run, status=RunStatus.FAILED, reason="gave up", returncode=1, finished_at=14.0)
    )
    history = await runs.history(run.id)
    assert [(t.status, t.attempt, t.reason) for t in history] == [
        (QUEUED, 1, None),
        (RUNNING, 1, None),
        (QUEUED, 2, "exit code 1"),
        (RUNNING, 2, None),
        (RunStatus.FAILED, 2, "gave up"),
    ]
    assert [history[i].at for i in (0, 1, 3, 4)] == [10.0, 11.0, 13.0, 14.0]
    assert history[2].at > 1_000_000_000
    assert [t.seq for t in history] == sorted(t.seq for t in history)
    assert {(t.name, t.group, t.returncode) for t in history} == {("n", "default", 1)}


async def test_a_run_committed_with_its_end_has_its_whole_history(database: Database) -> None:
    runs = RunStore(database)
    await runs.add(
        run := a_run(
            status=RunStatus.COMPLETED, pid=5, created_at=1.0, started_at=2.0, finished_at=3.0
        )
    )
    await runs.add(refused := a_run(status=RunStatus.FAILED, reason="no", finished_at=4.0))
    history = await runs.history(run.id)
    assert [(t.status, t.at) for t in history] == [
        (QUEUED, 1.0),
        (RUNNING, 2.0),
        (RunStatus.COMPLETED, 3.0),
    ]
    assert [(t.status, t.reason) for t in await runs.history(refused.id)] == [
        (QUEUED, None),
        (RunStatus.FAILED, "no"),
    ]
    assert await runs.transitions_after(history[1].seq, 1) == [history[2]]
    assert await runs.last_seq() == (await runs.history(refused.id))[-1].seq


class Runs(RuleBasedStateMachine):
    """Whatever is done to runs in whatever order, the store agrees with a model of the rules."""

    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        url = f"sqlite+aiosqlite:///{Path(self._folder.name, 'mcli.db')}"
        self._database = self._do(open_database(url))
        self._store = RunStore(self._database)
        self._model: dict[str, list[tuple[RunStatus, int]]] = {}
        self._stopping: set[str] = set()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def _now(self, run: Run) -> tuple[RunStatus, int]:
        return self._model[run.id][-1]

    def _move(self, run: Run, status: RunStatus, attempt: int | None = None) -> None:
        self._model[run.id].append((status, attempt or self._now(run)[1]))

    @rule(target=known)
    def accept(self) -> Run:
        """A run is queued."""
        run = a_run()
        self._do(self._added(run))
        self._model[run.id] = [(QUEUED, 1)]
        return run

    async def _added(self, run: Run) -> None:
        await self._store.add(run)

    @rule(run=known)
    def start(self, run: Run) -> None:
        """Its child runs."""
        self._do(self._store.mark_started(replace(run, pid=1, started_at=1.0)))
        if self._now(run)[0] is QUEUED:
            self._move(run, RUNNING)

    @rule(run=known)
    def ask_to_stop(self, run: Run) -> None:
        """Somebody wants it stopped."""
        self._do(self._store.request_stop(run.id, None))
        if not self._now(run)[0].final:
            self._stopping.add(run.id)

    @rule(run=known)
    def try_again(self, run: Run) -> None:
        """It failed, and is to be tried again."""
        attempt = self._now(run)[1] + 1
        done = self._do(self._store.requeue(replace(run, attempt=attempt, not_before=9.0)))
        allowed = self._now(run)[0] is RUNNING and run.id not in self._stopping
        assert done is allowed
        if done:
            self._move(run, QUEUED, attempt)

    @rule(run=known, end=st.sampled_from(ENDS))
    def end(self, run: Run, end: RunStatus) -> None:
        """Its end is seen, by its watcher or by another."""
        before = self._now(run)[0]
        if before is QUEUED and end not in LEGAL[QUEUED] and run.id not in self._stopping:
            with pytest.raises(DBAPIError, match="illegal transition"):
                self._do(self._store.finish(replace(run, status=end)))
            return
        ended = self._do(self._store.finish(replace(run, status=end, finished_at=2.0)))
        if not before.final:
            self._move(run, RunStatus.CANCELLED if run.id in self._stopping else end)
        assert ended.status is self._now(run)[0]

    @rule(run=known, status=st.sampled_from(RunStatus))
    def meddle(self, run: Run, status: RunStatus) -> None:
        """A program that knows no rules writes a status."""
        before = self._now(run)[0]
        if status in LEGAL[before]:
            self._do(write_status(self._database, run.id, status))
            self._move(run, status)
        elif status is not before:
            with pytest.raises(DBAPIError, match="illegal transition"):
                self._do(write_status(self._database, run.id, status))

    @invariant()
    def the_store_agrees(self) -> None:
        """Status and attempt, and the whole history, are those of the model."""
        for run_id, moves in self._model.items():
            stored = self._do(self._store.get(run_id))
            assert stored is not None
            assert (stored.status, stored.attempt) == moves[-1]
            history = self._do(self._store.history(run_id))
            assert [(t.status, t.attempt) for t in history] == moves

    def teardown(self) -> None:
        """Let go of the file."""
        self._do(self._database.aclose())
        self._loop.close()
        self._folder.cleanup()


TestRuns = pytest.mark.filterwarnings("error")(Runs.TestCase)
TestRuns.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
