"""The processes table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi_app.models import Run, RunKind, RunStatus
from fastapi_app.storage.managed import ManagedStore
from fastapi_app.storage.processes import ProcessStore
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.supervision import SupervisionStore
from fastapi_app.supervision import ManagedProcess, Supervision
from tests.fastapi_app.storage.rows import a_process, a_run

if TYPE_CHECKING:
    from fastapi_app.storage.database import Database


async def test_processes_come_back_oldest_first(database: Database) -> None:
    store = ProcessStore(database)
    full = a_process(
        name="ünï",
        args=("", "ä"),
        working_dir="/tmp",
        environment={"A": "ö"},
        created_at=5.5,
        run_id="r",
    )
    plain = a_process(created_at=4.5)
    await store.add(full)
    await store.add(plain)
    managed = ManagedStore(database)
    assert await managed.get(full.id) == ManagedProcess(full, None)
    assert await managed.all() == [ManagedProcess(plain, None), ManagedProcess(full, None)]


async def test_a_removed_process_is_gone(database: Database) -> None:
    store, managed = ProcessStore(database), ManagedStore(database)
    process = a_process()
    await store.add(process)
    assert await managed.get(process.id) == ManagedProcess(process, None)
    await store.delete(process.id)
    assert await managed.all() == []
    for unknown in (process.id, "", "\0", "\ud800"):
        assert await managed.get(unknown) is None


async def test_a_restart_is_seen_whole_or_not_at_all(database: Database) -> None:
    supervision, managed = SupervisionStore(database), ManagedStore(database)
    runs, process = RunStore(database), a_process()
    await supervision.add(process, Supervision(process.id, owner="me"))

    def a_life() -> Run:
        return a_run(kind=RunKind.PROCESS, process_id=process.id, owner="me")

    async def restart() -> None:
        life = a_life()
        await supervision.begin(life)
        for _ in range(50):
            ended, life = life, a_life()
            await runs.finish(ended.but(status=RunStatus.FAILED, returncode=1))
            await supervision.follow(life, ended.id, failures=1)

    restarting = asyncio.create_task(restart())
    seen = set()
    while not restarting.done():
        for found in (await managed.get(process.id), *await managed.all()):
            assert found is not None
            assert found.known is not None
            latest = found.run.id if found.run else None
            assert (found.process.run_id, found.known.run_id) == (latest, latest)
            assert latest is None or latest != found.known.decided
            seen.add(latest)
    await restarting
    assert len(seen) > 2
