"""Writes that share a transaction: each caller is told about its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import bindparam, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from fastapi_app.errors import StorageUnavailableError
from fastapi_app.storage.group_commit import GroupCommit
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.tables import runs as table
from tests.fastapi_app.storage.rows import a_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi_app.storage.database import Database
    from fastapi_app.storage.group_commit import Group

RENAME = update(table).where(table.c.id == bindparam("run_id")).values(name=bindparam("new"))


async def test_one_bad_row_does_not_fail_its_neighbours(database: Database) -> None:
    runs = RunStore(database)
    taken, good = a_run(), [a_run() for _ in range(5)]
    await runs.add(taken)
    added = [runs.add(run) for run in (*good[:3], taken, *good[3:])]
    outcomes = await asyncio.gather(*added, return_exceptions=True)
    assert [isinstance(outcome, IntegrityError) for outcome in outcomes] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
    assert len(await runs.by_id([run.id for run in good])) == 5


async def test_a_value_no_database_takes_fails_alone(database: Database) -> None:
    runs = RunStore(database)
    bad, good = a_run(command="\ud800"), a_run()
    outcomes = await asyncio.gather(runs.add(bad), runs.add(good), return_exceptions=True)
    assert isinstance(outcomes[0], (UnicodeEncodeError, DBAPIError))
    assert await runs.get(good.id) == good


async def test_callers_learn_whether_their_row_matched(database: Database) -> None:
    run = a_run()
    await RunStore(database).add(run)
    submit = database.grouped.submit
    assert await submit(1, RENAME, {"run_id": run.id, "new": "a"})
    assert not await submit(1, RENAME, {"run_id": "none", "new": "a"})
    both = [submit(1, RENAME, {"run_id": key, "new": "b"}) for key in (run.id, "none")]
    assert await asyncio.gather(*both) == [None, None], "known only of the two together"


async def test_statements_of_one_transaction_run_by_rank(database: Database) -> None:
    run = a_run()
    renamed = database.grouped.submit(1, RENAME, {"run_id": run.id, "new": "later"})
    added = RunStore(database).add(run)  # rank 0, though it was handed in second
    assert all(await asyncio.gather(added, renamed))


async def test_a_caller_that_leaves_does_not_take_its_write_along(database: Database) -> None:
    runs = RunStore(database)
    run, neighbour = a_run(), a_run()
    leaving, staying = runs.add(run), runs.add(neighbour)
    leaving.cancel()
    await staying
    assert await runs.get(run.id) == run


async def test_closing_commits_what_is_pending_and_takes_no_more(database: Database) -> None:
    runs = RunStore(database)
    run = a_run()
    adding = runs.add(run)
    await database.grouped.aclose()
    assert adding.done()
    assert await runs.get(run.id) == run
    with pytest.raises(StorageUnavailableError):
        await runs.add(a_run())


async def test_a_database_that_is_away_is_asked_once_for_all() -> None:
    asked = 0

    async def away(_groups: Sequence[Group]) -> list[int]:
        nonlocal asked
        asked += 1
        raise StorageUnavailableError("locked")

    grouped = GroupCommit(away)
    waiting = [grouped.submit(0, RENAME, {"run_id": "x", "new": "y"}) for _ in range(20)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailableError) for outcome in outcomes)
    assert asked == 1
