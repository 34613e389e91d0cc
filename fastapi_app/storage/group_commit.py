"""Group commit: writes that wait for each other anyway share one transaction.

A caller is answered after the transaction that holds its write has been committed, so "accepted"
still means "on disk"; under load one commit serves many callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.sql.dml import UpdateBase

from fastapi_app.errors import StorageUnavailableError

Group = tuple[UpdateBase, Sequence[Mapping[str, Any]]]
Commit = Callable[[Sequence[Group]], Awaitable[Sequence[int]]]
"""Executes each group's statement with its rows, all in one transaction; returns row counts."""

CommitAtOnce = Callable[[Sequence[Group]], Sequence[int] | None]
"""The same without waiting; `None`, and nothing done, where that is not possible now."""

LINGER = 0.005
"""Seconds a write nobody waits for may stay back, so that what follows it can take its place."""


@dataclass(slots=True, eq=False)
class Write:
    """One row's write. It may be changed until it is taken into a transaction."""

    rank: int
    statement: UpdateBase
    parameters: Mapping[str, Any]
    done: asyncio.Future[bool | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    taken: bool = False


class GroupCommit:
    """Collects parametrised writes while a transaction is under way, and commits them together."""

    def __init__(self, commit: Commit, commit_at_once: CommitAtOnce | None = None) -> None:
        self._commit_groups = commit
        self._commit_at_once = commit_at_once
        self._due = False
        self.slow_commits = 0
        """How many commits could not be done at once."""
        self._pending: list[Write] = []
        self._lingering: dict[Write, asyncio.TimerHandle] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def submit(
        self, rank: int, statement: UpdateBase, parameters: Mapping[str, Any]
    ) -> asyncio.Future[bool | None]:
        """Queue one row's write; `rank` orders statements within a transaction, lowest first.

        The future is done when the write is committed. It tells whether a row matched; `None`
        when that is known only of the group as a whole and not every row did.

        Raises:
            StorageUnavailableError: from the future, when the transaction failed for good.
        """
        write = Write(rank, statement, parameters)
        self._queue(write)
        return write.done

    def submit_lingering(
        self, rank: int, statement: UpdateBase, parameters: Mapping[str, Any]
    ) -> Write:
        """Queue a write that nobody waits for; it stays back for a moment, or until `hasten`."""
        write = Write(rank, statement, parameters)
        later = asyncio.get_running_loop().call_later(LINGER, self.hasten, write)
        self._lingering[write] = later
        return write

    def hasten(self, write: Write) -> None:
        """Commit a write that stayed back now."""
        later = self._lingering.pop(write, None)
        if later is not None:
            later.cancel()
            self._queue(write)

    async def aclose(self) -> None:
        """Commit everything that is pending and take no more."""
        for write in list(self._lingering):
            self.hasten(write)
        self._closed = True
        self._begin()
        while self._task is not None:
            await self._task

    def _queue(self, write: Write) -> None:
        if self._closed:
            write.taken = True
            write.done.set_exception(StorageUnavailableError("the database is closed"))
            write.done.exception()
            return
        self._pending.append(write)
        if self._task is None and not self._due:
            # What else is to be written in this turn of the loop comes along.
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Commit what is pending, at once where that is possible, else in a task."""
        self._due = False
        if self._task is not None or not self._pending:
            return
        groups = _grouped(self._pending)
        counts = self._commit_at_once(_rows(groups)) if self._commit_at_once else None
        if counts is None:
            self.slow_commits += 1
            self._task = asyncio.create_task(self._drain(), name="group-commit")
            return
        for write in self._pending:
            write.taken = True
        self._pending = []
        _tell(groups, counts)

    async def _drain(self) -> None:
        batch, self._pending = self._pending, []
        for write in batch:
            write.taken = True
        try:
            await self._commit(batch)
        finally:
            self._task = None
            self._begin()

    async def _commit(self, batch: list[Write]) -> None:
        groups = _grouped(batch)
        try:
            counts = await self._commit_groups(_rows(groups))
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
        _tell(groups, counts)


def _grouped(batch: Sequence[Write]) -> list[list[Write]]:
    """Writes with the same statement together, in the order of their ranks."""
    grouped: dict[tuple[int, int], list[Write]] = {}
    for write in batch:
        grouped.setdefault((write.rank, id(write.statement)), []).append(write)
    return [grouped[key] for key in sorted(grouped)]


def _rows(groups: Sequence[Sequence[Write]]) -> list[Group]:
    return [(group[0].statement, [write.parameters for write in group]) for group in groups]


def _tell(groups: Sequence[Sequence[Write]], counts: Sequence[int]) -> None:
    for group, count in zip(groups, counts, strict=True):
        matched = _matched(count, len(group))
        for write in group:
            _resolve(write.done, matched=matched)


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
        future.exception()  # a caller that never asks must not be told at exit
