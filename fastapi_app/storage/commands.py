"""Rows of the `commands` table to `Command` and back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, collate, select, update
from sqlalchemy.exc import IntegrityError

from fastapi_app.errors import CommandExistsError
from fastapi_app.models import Command, Language
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import commands
from fastapi_app.storage.text import storable

# Names sort by code point on every database, so that a page boundary means the same everywhere.
CODE_POINT_ORDER = "C"

_COUNT = (
    update(commands)
    .where(commands.c.id == bindparam("command_id"))
    .values(execution_count=commands.c.execution_count + 1, last_executed=bindparam("at"))
)


class CommandStore:
    """Stored commands in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, command: Command) -> None:
        """Commit a new command.

        Raises:
            CommandExistsError: the name is taken.
        """
        try:
            async with self._db.write() as connection:
                await connection.execute(commands.insert(), _to_row(command))
        except IntegrityError as error:
            raise CommandExistsError(command.name) from error

    async def replace(self, command: Command) -> None:
        """Commit every field a person sets; counters stay with the database.

        Raises:
            CommandExistsError: the new name is taken.
        """
        row = _to_row(command)
        for counter in ("id", "created_at", "execution_count", "last_executed"):
            del row[counter]
        try:
            async with self._db.write() as connection:
                await connection.execute(
                    update(commands).where(commands.c.id == command.id).values(row)
                )
        except IntegrityError as error:
            raise CommandExistsError(command.name) from error

    async def count_execution(self, command_id: str, at: float) -> None:
        """Commit one more execution."""
        await self._db.grouped.submit(3, _COUNT, {"command_id": command_id, "at": at})

    async def delete(self, command_id: str) -> None:
        async with self._db.write() as connection:
            await connection.execute(commands.delete().where(commands.c.id == command_id))

    async def by_id(self, command_id: str) -> Command | None:
        return await self._one(commands.c.id, command_id)

    async def by_name(self, name: str) -> Command | None:
        return await self._one(commands.c.name, name)

    async def page(
        self,
        *,
        include_inactive: bool,
        language: Language | None = None,
        group: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[Command]:
        """Commands by name, those behind the name `after`, at most `limit`."""
        if not storable(group):
            return []
        name = commands.c.name if self._db.is_sqlite else collate(commands.c.name, CODE_POINT_ORDER)
        statement = select(commands).order_by(name).limit(limit)
        if not include_inactive:
            statement = statement.where(commands.c.is_active)
        if language is not None:
            statement = statement.where(commands.c.language == str(language))
        if group is not None:
            statement = statement.where(commands.c.group_name == group)
        if after is not None:
            statement = statement.where(name > after)
        async with self._db.read() as connection:
            return [_to_command(row) for row in await connection.execute(statement)]

    async def _one(self, key: ColumnElement[str], value: str) -> Command | None:
        if not storable(value):
            return None
        async with self._db.read() as connection:
            row = (await connection.execute(select(commands).where(key == value))).first()
        return None if row is None else _to_command(row)


def _to_row(command: Command) -> dict[str, Any]:
    return {
        "id": command.id,
        "name": command.name,
        "description": command.description,
        "code": command.code,
        "language": str(command.language),
        "group_name": command.group,
        "tags": json.dumps(command.tags),
        "created_at": command.created_at,
        "updated_at": command.updated_at,
        "execution_count": command.execution_count,
        "last_executed": command.last_executed,
        "is_active": command.is_active,
    }


def _to_command(row: Row[Any]) -> Command:
    return Command(
        id=row.id,
        name=row.name,
        description=row.description,
        code=row.code,
        language=Language(row.language),
        group=row.group_name,
        tags=tuple(json.loads(row.tags)),
        created_at=row.created_at,
        updated_at=row.updated_at,
        execution_count=row.execution_count,
        last_executed=row.last_executed,
        is_active=bool(row.is_active),
    )
