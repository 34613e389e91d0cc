"""Group commit: writes that wait for each other anyway share one transaction.

A caller is answered after the transaction that holds its write has been committed, so "accepted"
still means "on disk"; under load one commit serves many callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.errors import StorageUnavailableError

Writing = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(slots=True)
class _Write:
    rank: int
    statement: Executable
    parameters: Mapping[str, Any]
    done: asyncio.Future[bool | None]


class GroupCommit:
    """Collects parametrised writes while a transaction is under way, and commits them together."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._pending: list[_Write] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def submit(
        self, rank: int, statement: Executable, parameters: Mapping[str, Any]
    ) -> asyncio.Future[bool | None]:
        """Queue one row's write; `rank` orders statements within a transaction, lowest first.

        The future is done when the write is committed. It tells whether a row matched; `None`
        when that is known only of the group as a whole and not every row did.

        Raises:
            StorageUnavailableError: from the future, when the transaction failed for good.
        """
        done: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        if self._closed:
            done.set_exception(StorageUnavailableError("the database is closed"))
            return done
        self._pending.append(_Write(rank, statement, parameters, done))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="group-commit")
        return done

    async def aclose(self) -> None:
        """Commit everything that is pending and take no more."""
        self._closed = True
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: list[_Write]) -> None:
        try:
            results = await self._attempt(batch)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, StorageUnavailableError):
                # One bad row must not fail its neighbours: give each a transaction of its own.
                for write in batch:
                    await self._commit([write])
                return
            # A database that does not answer fails them all, without a wait for each.
            for write in batch:
                _resolve(write.done, error=error)
            return
        for write, matched in results:
            _resolve(write.done, matched=matched)

    async def _attempt(self, batch: list[_Write]) -> list[tuple[_Write, bool | None]]:
        groups: dict[tuple[int, int], list[_Write]] = {}
        for write in batch:
            groups.setdefault((write.rank, id(write.statement)), []).append(write)
        results: list[tuple[_Write, bool | None]] = []
        async with self._writing() as connection:
            for key in sorted(groups):
                group = groups[key]
                result = await connection.execute(
                    group[0].statement, [dict(write.parameters) for write in group]
                )
                matched = _matched(result.rowcount, len(group))
                results.extend((write, matched) for write in group)
        return results


def _matched(rowcount: int, expected: int) -> bool | None:
    if rowcount == expected:
        return True
    return False if rowcount == 0 else None


def _resolve(
    future: asyncio.Future[bool | None],
    *,
    matched: bool | None = None,
    error: BaseException | None = None,
) -> None:
    if future.done():  # the caller left
        return
    if error is None:
        future.set_result(matched)
    else:
        future.set_exception(error)
