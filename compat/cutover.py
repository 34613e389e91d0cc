"""The live stage of each route: in memory for every call, in the database for all processes.

Each move is one transaction that also writes it down for good. What another process has moved is
noticed within half a second. While the database does not answer, the last known stages hold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Row as SqlRow
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from compat.errors import MovedMeanwhileError, RolloutActiveError, UnknownRouteError
from compat.measures import Measures, Totals
from compat.stages import Brownout, Place, Stage
from compat.tables import audit, bring_up_to_date, stages
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.factory import Services

log = logging.getLogger(__name__)

LOOK = 0.3
"""Seconds between two looks at what other processes have moved."""


@dataclass(frozen=True, slots=True)
class Move:
    """A route to be moved, by whom and why. `revision` is the one it was seen at, if any was."""

    route: str
    stage: Stage
    percent: int | None = None
    brownout: Brownout | None = None
    by: str = ""
    reason: str = ""
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the audit log: who has changed what, when (Unix seconds), and why."""

    seq: int
    at: float
    by: str
    what: str
    subject: str
    revision: int
    before: str
    after: str
    reason: str
    rollout: str | None


class Cutover:
    """Which stack answers each route. Changes hold from the next call on."""

    def __init__(
        self,
        services: Services,
        routes: Sequence[str],
        measures: Measures,
        default: Stage,
    ) -> None:
        self._database = services.database
        self._routes = routes
        self._measures = measures
        self._default = Place.at(default)
        self._places: Mapping[str, Place] = {}
        self._listeners: list[Callable[[], None]] = []
        self._seen: bytes | None = None
        self._deaf = False

    async def load(self) -> None:
        """Make the tables, and read the stages that were set."""
        await self._database.migrate(bring_up_to_date)
        await self.refresh()

    def follow(self, listener: Callable[[], None]) -> None:
        """Call `listener` now, and whenever a route has moved."""
        self._listeners.append(listener)
        listener()

    def place(self, route: str) -> Place:
        """Where the route stands now."""
        return self._places.get(route, self._default)

    def known(self, route: str) -> str:
        """The name of a route of the table.

        Raises:
            UnknownRouteError: it has none of that name.
        """
        if route not in self._routes:
            raise UnknownRouteError(route, self._routes)
        return route

    async def set(self, move: Move) -> Place:
        """Move a route for an operator; committed, and written down, when this returns.

        Raises:
            UnknownRouteError: the table has no such route.
            MovedMeanwhileError: it is not where the operator saw it.
            RolloutActiveError: a rollout moves it.
            StorageUnavailableError: nothing was moved.
        """
        route = self.known(move.route)
        await self.refresh()
        totals = await self._measures.totals()
        try:
            async with self._database.write() as connection:
                await self.write(connection, [move], totals)
        except MovedMeanwhileError:
            await self.refresh()
            raise MovedMeanwhileError(route, self.place(route), await self._mover(route)) from None
        await self.refresh()
        return self.place(route)

    async def write(
        self,
        connection: AsyncConnection,
        moves: Sequence[Move],
        totals: Totals,
        *,
        rollout: str | None = None,
        keeps: bool = False,
    ) -> None:
        """Write moves and their audit entries into a transaction; `refresh` when it is committed.

        With `keeps` the routes belong to `rollout` from then on, else to nobody.

        Raises:
            MovedMeanwhileError: somebody else was faster; nothing may be committed.
            RolloutActiveError: another rollout moves one of them.
        """
        for move in moves:
            before = self.place(move.route)
            if before.rollout not in {None, rollout}:
                raise RolloutActiveError(move.route, before.rollout)
            if move.revision not in {None, before.revision}:
                raise MovedMeanwhileError(move.route, before)
            after = replace(
                Place.at(move.stage, move.percent),
                revision=before.revision + 1,
                changed_at=time.time(),
                rollout=rollout if keeps else None,
                brownout=move.brownout if move.stage is Stage.BROWNOUT else None,
            )
            await _write_place(connection, move, before, after, totals.of(move.route))
            entry = {
                "at": after.changed_at,
                "by": move.by,
                "what": "stage",
                "subject": move.route,
                "revision": after.revision,
                "before": str(before),
                "after": str(after),
                "reason": move.reason,
                "rollout": rollout,
            }
            await connection.execute(audit.insert(), entry)

    async def release(self, connection: AsyncConnection, rollout: str) -> None:
        """Let the routes of a rollout go, where they stand; `refresh` when it is committed."""
        here = stages.c.rollout == rollout
        await connection.execute(stages.update().where(here).values(rollout=None))

    async def bases(self) -> Totals:
        """What had been counted of each route when it came to where it stands."""
        found = Totals()
        async with self._database.read() as connection:
            for text in await connection.scalars(select(stages.c.base)):
                found.update(Totals.from_json(text))
        return found

    async def entries(
        self, *, after: int = 0, subject: str | None = None, limit: int = 100, newest: bool = True
    ) -> list[Entry]:
        """The audit log behind number `after`: the newest entries first, or else the oldest."""
        query = select(audit).where(audit.c.seq > after)
        if subject is not None:
            query = query.where((audit.c.subject == subject) | (audit.c.rollout == subject))
        query = query.order_by(audit.c.seq.desc() if newest else audit.c.seq).limit(limit)
        async with self._database.read() as connection:
            return [Entry(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001

    async def refresh(self) -> None:
        """Look at what is in the database now.

        Raises:
            StorageUnavailableError: the last known stages stay in force.
        """
        async with self._database.read() as connection:
            self._adopt((await connection.execute(select(stages))).all())

    async def watch(self) -> None:
        """Notice what other processes move, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                if self._may_have_changed():
                    await self.refresh()
                self._deaf = False
            except StorageUnavailableError as error:
                self._seen = None
                if not self._deaf:
                    log.warning("the last known stages stay in force: %s", error)
                self._deaf = True

    def _may_have_changed(self) -> bool:
        peek = self._database.peek
        if peek is None:
            return True
        version = peek.version()
        changed = version != self._seen
        self._seen = version
        return changed

    def _adopt(self, rows: Sequence[SqlRow[tuple[object, ...]]]) -> None:
        """Take the stages as they are; a route or stage nobody knows any more is left out."""
        places = {
            row.route: _place(row)
            for row in rows
            if row.route in self._routes and row.stage in set(Stage)
        }
        if places != self._places:
            self._places = places
            for listener in self._listeners:
                listener()

    async def _mover(self, route: str) -> str:
        entries = await self.entries(subject=route, limit=1)
        return entries[0].by if entries else ""


def _place(row: SqlRow[tuple[object, ...]]) -> Place:
    return Place(
        stage=Stage(row.stage),
        percent=row.percent,
        revision=row.revision,
        changed_at=row.changed_at,
        rollout=row.rollout,
        brownout=Brownout.from_json(row.brownout) if row.brownout else None,
    )


async def _write_place(
    connection: AsyncConnection, move: Move, before: Place, after: Place, base: Totals
) -> None:
    values = {
        "stage": str(after.stage),
        "percent": after.percent,
        "changed_at": after.changed_at,
        "revision": after.revision,
        "changed_by": move.by,
        "rollout": after.rollout,
        "brownout": after.brownout.as_json() if after.brownout else None,
        "base": base.as_json(),
    }
    here = (stages.c.route == move.route) & (stages.c.revision == before.revision)
    changed = await connection.execute(stages.update().where(here).values(values))
    if changed.rowcount:
        return
    if before.changed_at is not None:
        raise MovedMeanwhileError(move.route, before)
    try:
        await connection.execute(stages.insert(), {"route": move.route, **values})
    except IntegrityError:
        raise MovedMeanwhileError(move.route, before) from None
