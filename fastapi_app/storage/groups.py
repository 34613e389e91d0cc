"""Rows of the `groups` table to `Group` and back."""

from __future__ import annotations

from sqlalchemy import delete, select

from fastapi_app.models import Group
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import groups


class GroupStore:
    """Groups in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def all(self) -> list[Group]:
        """Every group that was ever set, by name."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(groups).order_by(groups.c.name))
            return [Group(row.name, row.slots, bool(row.paused)) for row in rows]

    async def put(self, group: Group) -> None:
        """Commit a group, new or changed."""
        values = {"name": group.name, "slots": group.slots, "paused": group.paused}
        async with self._db.write() as connection:
            await connection.execute(delete(groups).where(groups.c.name == group.name))
            await connection.execute(groups.insert(), values)

    async def delete(self, name: str) -> None:
        """Forget a group."""
        async with self._db.write() as connection:
            await connection.execute(delete(groups).where(groups.c.name == name))
