"""Who still calls what: counted in memory, written down every now and then, bounded in both.

A client is known by its key alone; what is shown of it holds no secret.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from compat.clients import Client, client_of, key_of
from compat.stages import Stage
from compat.tables import callers
from fastapi_app.factory import Services

IN_MEMORY = 5_000
"""Clients on a route that are told apart between two writes; more are counted together."""
IN_DATABASE = 50_000
"""Rows that are kept, the latest; a million clients must not fill the disk."""
TOGETHER = 500
"""Rows of one statement."""
LATEST = ("label", "address", "user_agent", "stage", "last_seen")
OTHERS = Client(b"", "(others)", "", "")


@dataclass(slots=True)
class _Seen:
    client: Client
    stage: Stage
    first: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class Caller:
    """A client of a route. Times are Unix seconds."""

    client: str
    route: str
    label: str
    address: str
    user_agent: str
    stage: str
    first_seen: float
    last_seen: float
    count: int


class Callers:
    """Counts the calls of each client on each route, over all processes."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._seen: dict[tuple[bytes, str], _Seen] = {}
        self._pruned = 0

    def note(self, route: str, stage: Stage, scope: Scope) -> None:
        """Count a call."""
        key = key_of(scope)
        now = time.time()
        seen = self._seen.get((key, route))
        if seen is None:
            seen = self._new(key, route, stage, scope, now)
        seen.count += 1
        seen.last = now
        seen.stage = stage

    def _new(self, key: bytes, route: str, stage: Stage, scope: Scope, now: float) -> _Seen:
        client = client_of(scope)
        if len(self._seen) >= IN_MEMORY:
            key, client = OTHERS.key, OTHERS
        return self._seen.setdefault((key, route), _Seen(client, stage, now, now, 0))

    async def flush(self) -> None:
        """Write down who has called.

        Raises:
            StorageUnavailableError: it is written with the next one.
        """
        if not self._seen:
            return
        taken, self._seen = self._seen, {}
        try:
            async with self._database.write() as connection:
                await _add(connection, taken)
                await self._prune(connection, len(taken))
        except BaseException:
            self._take_back(taken)
            raise

    async def all(
        self, *, route: str | None = None, since: float = 0, limit: int = 1000
    ) -> list[Caller]:
        """Who has called since then (Unix seconds), the latest first.

        Raises:
            StorageUnavailableError: the database does not answer.
        """
        await self.flush()
        query = select(callers).where(callers.c.last_seen >= since)
        if route is not None:
            query = query.where(callers.c.route == route)
        query = query.order_by(callers.c.last_seen.desc(), callers.c.client).limit(limit)
        async with self._database.read() as connection:
            return [Caller(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001

    async def counts(self, since: float) -> dict[str, int]:
        """How many clients have called each route since then."""
        await self.flush()
        query = (
            select(callers.c.route, func.count())
            .where(callers.c.last_seen >= since)
            .group_by(callers.c.route)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return {row[0]: row[1] for row in rows}

    def _take_back(self, taken: dict[tuple[bytes, str], _Seen]) -> None:
        for key, seen in taken.items():
            mine = self._seen.get(key)
            if mine is None:
                self._seen[key] = seen
            else:
                mine.count += seen.count
                mine.first = seen.first

    async def _prune(self, connection: AsyncConnection, written: int) -> None:
        """Keep the latest rows. Counting them costs, so that is not done each time."""
        self._pruned += written
        if self._pruned < IN_MEMORY // 5:
            return
        self._pruned = 0
        oldest = (
            select(callers.c.last_seen)
            .order_by(callers.c.last_seen.desc())
            .offset(IN_DATABASE - 1)
            .limit(1)
        )
        keep_from = await connection.scalar(oldest)
        if keep_from is not None:
            await connection.execute(delete(callers).where(callers.c.last_seen < keep_from))


async def _add(connection: AsyncConnection, taken: Mapping[tuple[bytes, str], _Seen]) -> None:
    """Add to the rows, in the order of their keys: so two servers never wait for each other."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(callers)
    values: dict[str, Any] = {name: insert.excluded[name] for name in LATEST}
    values["count"] = callers.c.count + insert.excluded["count"]
    upsert = insert.on_conflict_do_update(index_elements=["client", "route"], set_=values)
    rows = [
        {
            "client": seen.client.id,
            "route": route,
            "label": seen.client.label,
            "address": seen.client.address,
            "user_agent": seen.client.user_agent,
            "stage": str(seen.stage),
            "first_seen": seen.first,
            "last_seen": seen.last,
            "count": seen.count,
        }
        for (_, route), seen in taken.items()
    ]
    rows.sort(key=itemgetter("client", "route"))
    for start in range(0, len(rows), TOGETHER):
        await connection.execute(upsert, rows[start : start + TOGETHER])
