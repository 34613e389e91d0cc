"""Rows of the `commands` table to `Command` and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, collate, select, update
from sqlalchemy.exc import IntegrityError

from fastapi_app.errors import CommandExistsError
from fastapi_app.models import Command, Language
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import commands
from fastapi_app.storage.text import storable

# Names sort by code point on every database, so that a page boundary means the same everywhere.
CODE_POINT_ORDER = "C"

_LANGUAGES = {str(language): language for language in Language}
_BY_ID = select(commands).where(commands.c.id == bindparam("key"))
_BY_NAME = select(commands).where(commands.c.name == bindparam("key"))
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

    def count_execution(self, command_id: str, at: float) -> asyncio.Future[bool | None]:
        """Commit one more execution: on its way at once, committed when the future is done."""
        return self._db.grouped.submit(3, _COUNT, {"command_id": command_id, "at": at})

    async def delete(self, command_id: str) -> None:
        async with self._db.write() as connection:
            await connection.execute(commands.delete().where(commands.c.id == command_id))

    async def by_id(self, command_id: str) -> Command | None:
        return await self._one(_BY_ID, command_id)

    async def by_name(self, name: str) -> Command | None:
        return await self._one(_BY_NAME, name)

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
            found = (await connection.execute(statement)).mappings()
            return [_to_command(row) for row in found]

    async def _one(self, statement: Select[Any], key: str) -> Command | None:
        if not storable(key):
            return None
        values = await self._db.first(statement, {"key": key})
        return None if values is None else _to_command(values)


@lru_cache(1024)
def _tags(text: str) -> tuple[str, ...]:
    """Tags as they are stored; many commands have the same, or none."""
    return tuple(json.loads(text))


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


def _to_command(values: Mapping[Any, Any]) -> Command:
    return Command(
        id=values["id"],
        name=values["name"],
        description=values["description"],
        code=values["code"],
        language=_LANGUAGES[values["language"]],
        group=values["group_name"],
        tags=_tags(values["tags"]),
        created_at=values["created_at"],
        updated_at=values["updated_at"],
        execution_count=values["execution_count"],
        last_executed=values["last_executed"],
        is_active=bool(values["is_active"]),
    )
