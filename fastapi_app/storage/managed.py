"""Processes as they stand: each with its latest run and what its supervisor knows, read at once.

A restart commits all three together. Whoever reads them one after the other may get the end of a
run as decided, and not see the run that was decided upon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, select

from fastapi_app.storage.database import Database
from fastapi_app.storage.processes import row_to_process
from fastapi_app.storage.runs import row_to_run
from fastapi_app.storage.supervision import row_to_supervision
from fastapi_app.storage.tables import processes, runs, supervision
from fastapi_app.storage.text import storable
from fastapi_app.supervision import ManagedProcess


def _labelled(table: Table) -> list[ColumnElement[Any]]:
    return [column.label(f"{table.name}_{column.name}") for column in table.columns]


# One statement sees one moment, on SQLite and at PostgreSQL's READ COMMITTED alike.
_ALL = (
    select(*_labelled(processes), *_labelled(runs), *_labelled(supervision))
    .outerjoin_from(processes, runs, runs.c.id == processes.c.run_id)
    .outerjoin(supervision, supervision.c.process_id == processes.c.id)
    .order_by(processes.c.created_at, processes.c.id)
)
_BY_ID = _ALL.where(processes.c.id == bindparam("process_id"))


class ManagedStore:
    """Managed processes, to read."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def get(self, process_id: str) -> ManagedProcess | None:
        if not storable(process_id):
            return None
        values = await self._db.first(_BY_ID, {"process_id": process_id})
        return None if values is None else _to_managed(values)

    async def all(self) -> list[ManagedProcess]:
        """Every process, oldest first."""
        async with self._db.read() as connection:
            return [_to_managed(row) for row in (await connection.execute(_ALL)).mappings()]


def _to_managed(values: Mapping[Any, Any]) -> ManagedProcess:
    process, run, known = (_part(values, table) for table in (processes, runs, supervision))
    return ManagedProcess(
        row_to_process(process),
        None if run["id"] is None else row_to_run(run),
        None if known["process_id"] is None else row_to_supervision(known),
    )


def _part(values: Mapping[Any, Any], table: Table) -> dict[str, Any]:
    return {name: values[f"{table.name}_{name}"] for name in table.columns.keys()}  # noqa: SIM118
