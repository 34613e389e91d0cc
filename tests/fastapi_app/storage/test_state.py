"""The daemon switch and the counts, as they are now, whoever changed them."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi_app.models import ActiveWorkflow, RunKind, RunStatus, Snapshot
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import open_database
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.state import StateStore
from tests.fastapi_app.storage.rows import a_command, a_run

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.storage.database import Database

EMPTY = Snapshot(
    daemon_running=True,
    active_executes=0,
    total_executes=0,
    active_workflows=(),
    running=0,
    running_processes=0,
    queued=0,
    total=0,
)


async def test_an_empty_database_runs(database: Database) -> None:
    state = StateStore(database)
    assert await state.daemon_running()
    assert await state.snapshot() == EMPTY
    assert await state.count_commands() == 0


async def test_the_switch_says_whether_it_changed(database: Database) -> None:
    state = StateStore(database)
    assert not await state.switch_daemon(running=True)
    assert await state.switch_daemon(running=False)
    assert not await state.switch_daemon(running=False)
    assert not await state.daemon_running()
    assert not (await state.snapshot()).daemon_running
    assert await state.switch_daemon(running=True)
    assert await state.daemon_running()


async def test_the_switch_may_be_pressed_by_many_at_once(database: Database) -> None:
    state = StateStore(database)
    await state.switch_daemon(running=True)
    changed = await asyncio.gather(*(state.switch_daemon(running=False) for _ in range(8)))
    assert sum(changed) == 1


async def test_the_snapshot_counts(database: Database) -> None:
    runs, state = RunStore(database), StateStore(database)
    workflow = a_run(kind=RunKind.WORKFLOW, name="w", created_at=2.0)
    earlier = a_run(kind=RunKind.WORKFLOW, name="e", status=RunStatus.RUNNING, pid=7)
    for run in (
        workflow,
        replace(earlier, created_at=1.0),
        a_run(status=RunStatus.RUNNING),
        a_run(status=RunStatus.LOST),
        a_run(kind=RunKind.PROCESS, status=RunStatus.RUNNING),
        a_run(kind=RunKind.WORKFLOW, status=RunStatus.FAILED),
    ):
        await runs.add(run)
    assert await state.snapshot() == Snapshot(
        daemon_running=True,
        active_executes=1,
        total_executes=2,
        active_workflows=(
            ActiveWorkflow(earlier.id, "e", RunStatus.RUNNING, 7),
            ActiveWorkflow(workflow.id, "w", RunStatus.QUEUED, None),
        ),
        running=3,
        running_processes=1,
        queued=1,
        total=6,
        statuses={
            RunStatus.QUEUED: 1,
            RunStatus.RUNNING: 3,
            RunStatus.LOST: 1,
            RunStatus.FAILED: 1,
        },
    )


async def test_every_commit_of_ours_is_seen_at_once(database: Database) -> None:
    runs, state = RunStore(database), StateStore(database)
    for number in range(1, 20):
        await runs.add(a_run())
        assert (await state.snapshot()).total == number


async def test_commits_of_other_connections_are_seen_at_once(
    database: Database, ready_url: str
) -> None:
    state = StateStore(database)
    assert await state.snapshot() == EMPTY
    other = await open_database(ready_url)
    try:
        await RunStore(other).add(a_run())
        assert (await state.snapshot()).total == 1
        await StateStore(other).switch_daemon(running=False)
        assert not await state.daemon_running()
        assert not (await state.snapshot()).daemon_running
    finally:
        await other.aclose()


async def test_on_sqlite_commits_of_other_processes_are_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mcli.db"
    database = await open_database(f"sqlite+aiosqlite:///{path}")
    state = StateStore(database)
    try:
        assert await state.snapshot() is await state.snapshot(), "nobody wrote: nothing is computed"
        sql = "INSERT OR REPLACE INTO service_state VALUES ('daemon', 'stopped')"
        code = (
            f"import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute({sql!r}); c.commit()"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path))
        assert await process.wait() == 0
        assert not (await state.snapshot()).daemon_running
    finally:
        await database.aclose()


async def test_commands_are_counted(database: Database) -> None:
    for number in range(1, 4):
        await CommandStore(database).add(a_command(f"c{number}"))
        assert await StateStore(database).count_commands() == number
