"""What is written for every run takes the short way into SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi_app.models import RunStatus
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import open_database
from fastapi_app.storage.runs import RunStore
from tests.fastapi_app.storage.rows import a_run

if TYPE_CHECKING:
    from pathlib import Path


async def test_no_write_of_a_run_needs_the_thread(tmp_path: Path) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'mcli.db'}")
    runs, commands, run = RunStore(database), CommandStore(database), a_run()
    for write in (
        lambda: runs.add(run),
        lambda: commands.count_execution("c", 1.0),
        lambda: runs.mark_started(run.but(pid=1, started_at=1.0)),
        lambda: runs.requeue(run.but(attempt=2)),
        lambda: runs.mark_started(run.but(pid=2, started_at=2.0)),
        lambda: runs.finish(run.but(status=RunStatus.FAILED, finished_at=3.0)),
    ):
        await write()
        assert database.grouped.slow_commits == 0
    await database.aclose()
