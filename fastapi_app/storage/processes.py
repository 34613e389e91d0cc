"""Rows of the `processes` table to `Process` and back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row, select

from fastapi_app.models import Process
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import processes, supervision
from fastapi_app.storage.text import storable


class ProcessStore:
    """Managed processes in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, process: Process) -> None:
        """Commit a new process."""
        async with self._db.write() as connection:
            await connection.execute(processes.insert(), process_row(process))

    async def delete(self, process_id: str) -> None:
        """Forget a process, and how it is looked after."""
        async with self._db.write() as connection:
            await connection.execute(processes.delete().where(processes.c.id == process_id))
            known = supervision.c.process_id == process_id
            await connection.execute(supervision.delete().where(known))

    async def get(self, process_id: str) -> Process | None:
        if not storable(process_id):
            return None
        async with self._db.read() as connection:
            statement = select(processes).where(processes.c.id == process_id)
            row = (await connection.execute(statement)).first()
        return None if row is None else _to_process(row)

    async def all(self) -> list[Process]:
        """Every process, oldest first."""
        statement = select(processes).order_by(processes.c.created_at, processes.c.id)
        async with self._db.read() as connection:
            return [_to_process(row) for row in await connection.execute(statement)]


def process_row(process: Process) -> dict[str, Any]:
    """A process as a row."""
    return {
        "id": process.id,
        "name": process.name,
        "command": process.command,
        "args": json.dumps(process.args),
        "working_dir": process.working_dir,
        "environment": json.dumps(dict(process.environment)),
        "created_at": process.created_at,
        "run_id": process.run_id,
    }


def _to_process(row: Row[Any]) -> Process:
    return Process(
        id=row.id,
        name=row.name,
        command=row.command,
        created_at=row.created_at,
        args=tuple(json.loads(row.args)),
        working_dir=row.working_dir,
        environment=json.loads(row.environment),
        run_id=row.run_id,
    )
