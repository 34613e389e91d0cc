"""Rows of the `processes` table to `Process` and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi_app.models import Process
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import processes, supervision


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


def row_to_process(values: Mapping[str, Any]) -> Process:
    """The process that was stored so."""
    args, environment = json.loads(values["args"]), json.loads(values["environment"])
    return Process(**{**values, "args": tuple(args), "environment": environment})
