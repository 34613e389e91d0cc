"""The processes table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi_app.storage.processes import ProcessStore
from tests.fastapi_app.storage.rows import a_process

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
    assert await store.get(full.id) == full
    assert await store.all() == [plain, full]


async def test_a_removed_process_is_gone(database: Database) -> None:
    store = ProcessStore(database)
    process = a_process()
    await store.add(process)
    assert await store.get(process.id) == process
    await store.delete(process.id)
    assert await store.all() == []
    for unknown in (process.id, "", "\0", "\ud800"):
        assert await store.get(unknown) is None
