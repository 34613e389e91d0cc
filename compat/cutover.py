"""The live stage of each route: in memory for every call, in the database across restarts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Double, Integer, MetaData, String, Table, select

from compat.routes import RouteTable, Row
from compat.stages import Stage
from fastapi_app.errors import AppError
from fastapi_app.factory import Services

metadata = MetaData()
cutover_stages = Table(
    "cutover_stages",
    metadata,
    Column("route", String(200), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
)
PERCENT = {Stage.LEGACY: 0, Stage.NEW: 100}


class UnknownRouteError(AppError):
    """The table has no such route; the message names those it has."""

    status, code, title = 404, "route-not-found", "No such route"

    def __init__(self, route: str, known: Mapping[str, Any]) -> None:
        super().__init__(f"There is no route {route!r}; the routes are: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class RouteState:
    """A row of the table and where it stands; `percent` of its calls go to the new stack."""

    row: Row
    stage: Stage

    @property
    def percent(self) -> int:
        return PERCENT[self.stage]


class Cutover:
    """Which stack answers each route. Changes hold from the next call on."""

    def __init__(self, services: Services, table: RouteTable, default: Stage) -> None:
        self._database = services.database
        self._table = table
        self._default = default
        self._stages: dict[str, Stage] = {}

    async def load(self) -> None:
        """Read the stages that were set; a route or stage nobody knows any more is left out."""
        async with self._database.write() as connection:
            await connection.run_sync(metadata.create_all)
            for row in await connection.execute(select(cutover_stages)):
                if row.route in self._table.rows and row.stage in set(Stage):
                    self._stages[row.route] = Stage(row.stage)

    def stage(self, row: Row) -> Stage:
        """Where the route stands now."""
        return self._stages.get(row.name, self._default)

    def all(self) -> list[RouteState]:
        """Every route, in the order of the table."""
        return [RouteState(row, self.stage(row)) for row in self._table.rows.values()]

    async def set(self, route: str, stage: Stage) -> RouteState:
        """Move a route; committed when this returns.

        Raises:
            UnknownRouteError: the table has no such route.
        """
        row = self._table.rows.get(route)
        if row is None:
            raise UnknownRouteError(route, self._table.rows)
        state = RouteState(row, stage)
        values = {"stage": str(stage), "percent": state.percent, "changed_at": time.time()}
        async with self._database.write() as connection:
            changed = await connection.execute(
                cutover_stages.update().where(cutover_stages.c.route == route).values(values)
            )
            if not changed.rowcount:
                await connection.execute(cutover_stages.insert(), {"route": route, **values})
        self._stages[route] = stage
        return state
