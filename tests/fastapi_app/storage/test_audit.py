"""The audit log on every database: in order, filtered, bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi_app.models import AuditEntry, AuditFilter
from fastapi_app.storage.audit import AuditStore

if TYPE_CHECKING:
    from fastapi_app.storage.database import Database

ENTRY = AuditEntry(
    seq=0,
    at=1.5,
    action="command.create",
    subject="deploy",
    outcome="done",
    detail="name",
    principal="user:ann",
    name="ann",
    address="127.0.0.1",
    request_id="abc",
)


async def test_what_was_written_is_read_newest_first(database: Database) -> None:
    store = AuditStore(database)
    for number in range(5):
        await store.add(replace(ENTRY, at=float(number)))
    found = await store.page(AuditFilter(), None, 3)
    newest = found[0].seq
    assert found == [replace(ENTRY, seq=newest - n, at=4.0 - n) for n in range(3)]
    rest = await store.page(AuditFilter(), found[-1].seq, 3)
    assert [entry.at for entry in rest] == [1.0, 0.0]


async def test_every_filter_narrows(database: Database) -> None:
    store = AuditStore(database)
    await store.add(ENTRY)
    await store.add(
        replace(ENTRY, at=2.5, action="x", subject="y", outcome="denied", principal="user:bob")
    )
    for wanted in (
        AuditFilter(action="x"),
        AuditFilter(subject="y"),
        AuditFilter(outcome="denied"),
        AuditFilter(principal="user:bob"),
        AuditFilter(since=2.0),
    ):
        assert [entry.at for entry in await store.page(wanted, None, 10)] == [2.5], wanted
    assert [entry.at for entry in await store.page(AuditFilter(until=2.5), None, 10)] == [1.5]


async def test_old_entries_go_and_their_numbers_stay_taken(database: Database) -> None:
    store = AuditStore(database)
    for at in (1.0, 2.0, 3.0):
        await store.add(replace(ENTRY, at=at))
    newest = (await store.page(AuditFilter(), None, 1))[0].seq
    assert await store.remove_before(10.0) == 3
    await store.add(ENTRY)
    assert [entry.seq for entry in await store.page(AuditFilter(), None, 10)] == [newest + 1]
