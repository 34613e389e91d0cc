"""The `commands` table: look up, list, write. Triggers keep history and index: command_triggers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, String, bindparam, collate, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.errors import CommandExistsError
from fastapi_app.models import Command, CommandFilter
from fastapi_app.storage.command_filter import matching
from fastapi_app.storage.command_rows import (
    SUMMARY,
    command_to_row,
    row_to_command,
    row_to_summary,
)
from fastapi_app.storage.database import Database
from fastapi_app.storage.parts import parts
from fastapi_app.storage.tables import command_index, command_versions, commands
from fastapi_app.storage.text import storable

# Names sort by code point on every database, so that a page boundary means the same everywhere.
CODE_POINT_ORDER = "C"
ALL = CommandFilter()

_WHOLE = select(commands)
_SUMMARY = select(*(commands.c[name] for name in SUMMARY))
_HASHED = 200
"""Commands whose code is held at once to be hashed."""
_BY_ID = select(commands).where(commands.c.id == bindparam("key"))
_BY_NAME = select(commands).where(commands.c.name == bindparam("key"))
_COUNT = (
    update(commands)
    .where(commands.c.id == bindparam("command_id"))
    .values(execution_count=commands.c.execution_count + 1, last_executed=bindparam("at"))
)
_COUNTERS = ("id", "created_at", "execution_count", "last_executed")
_COUNTED = dict.fromkeys(("execution_count", "last_executed"))
_DELETE = commands.delete().where(commands.c.id == bindparam("command_id"))
_REPLACE = update(commands).where(commands.c.id == bindparam("command_id"))
# The version that the write has just made, if it has made one.
_SIGN = (
    update(command_versions)
    .where(
        command_versions.c.command_id == bindparam("signed"),
        command_versions.c.version
        == select(func.max(command_versions.c.version))
        .where(command_versions.c.command_id == bindparam("signed"))
        .scalar_subquery(),
        command_versions.c.at == bindparam("written_at"),
    )
    .values(author=bindparam("new_author"), note=bindparam("new_note"))
)
_ABOUT = select(
    select(func.max(command_versions.c.version))
    .where(command_versions.c.command_id == bindparam("key"))
    .scalar_subquery()
    .label("version"),
    select(func.min(commands.c.name))
    .select_from(command_index.join(commands, commands.c.id == command_index.c.command_id))
    .where(
        command_index.c.folded == func.lower(bindparam("name", type_=String)),
        command_index.c.command_id != bindparam("key"),
    )
    .scalar_subquery()
    .label("namesake"),
)


Exchange = tuple[Command | None, Command | None]
"""What was there and what is to be; `None` is nothing."""


class Digest(NamedTuple):
    """Of a command what a file can have alike; the hash is the SHA-256 of its code in UTF-8."""

    name: str
    group: str
    language: str
    sha256: str


class CommandStore:
    """Stored commands in the database. `author` and `note` go into the history."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, command: Command, *, author: str = "", note: str = "") -> None:
        """Commit a new command.

        Raises:
            CommandExistsError: the name is taken.
        """
        await self.write([command], [], author=author, note=note)

    async def replace(self, command: Command, *, author: str = "", note: str = "") -> None:
        """Commit every field a person sets; counters stay with the database.

        Raises:
            CommandExistsError: the new name is taken.
        """
        await self.write([], [command], author=author, note=note)

    async def write(
        self, new: Sequence[Command], changed: Sequence[Command], *, author: str, note: str
    ) -> None:
        """Commit new commands and every field a person sets of others, all or none.

        Raises:
            CommandExistsError: a name is taken.
        """
        written = [*new, *changed]
        try:
            async with self._db.write() as connection:
                if len(written) > 1:
                    await self._alone(connection)
                await self._put(connection, new, changed, author, note)
        except IntegrityError as error:
            raise CommandExistsError(", ".join(command.name for command in written)) from error

    async def exchange(
        self,
        changes: Sequence[Exchange],
        *,
        author: str = "",
        note: str = "",
    ) -> set[str]:
        """Commit what is to be there instead of what was there; `None` is nothing.

        Returns the names of those that somebody else has changed meanwhile: they stay as they are.

        Raises:
            CommandExistsError: a name was taken at the same moment; nothing is changed.
        """
        names = {command.name for pair in changes for command in pair if command is not None}
        try:
            async with self._db.write() as connection:
                await self._alone(connection)
                rows = await connection.execute(select(commands).where(commands.c.name.in_(names)))
                there = {c.name: c for c in map(row_to_command, rows.mappings())}
                todo = _still_right(changes, there)
                await self._apply(connection, todo, author, note)
        except IntegrityError as error:
            raise CommandExistsError(", ".join(sorted(names))) from error
        return names - {command.name for pair in todo for command in pair if command is not None}

    async def digests(self) -> list[Digest]:
        """Of every command what tells whether its script has changed; the code is not kept."""
        columns = (commands.c.name, commands.c.group_name, commands.c.language, commands.c.code)
        found: list[Digest] = []
        async with self._db.read() as connection:
            rows = await connection.stream(select(*columns))
            async for part in rows.partitions(_HASHED):
                found += await asyncio.to_thread(_digests, part)
        return found

    def count_execution(self, command_id: str, at: float) -> asyncio.Future[bool | None]:
        """Commit one more execution: on its way at once, committed when the future is done."""
        return self._db.grouped.submit(3, _COUNT, {"command_id": command_id, "at": at})

    async def delete(self, command_id: str) -> None:
        """Commit that a command is forgotten, and its history with it."""
        async with self._db.write() as connection:
            await connection.execute(commands.delete().where(commands.c.id == command_id))

    async def by_id(self, command_id: str) -> Command | None:
        return await self._one(_BY_ID, command_id)

    async def by_name(self, name: str) -> Command | None:
        return await self._one(_BY_NAME, name)

    async def named(self, names: Sequence[str]) -> dict[str, Command]:
        """Those of these names that there are."""
        return {c.name: c for c in await self._many(commands.c.name, names)}

    async def with_ids(self, ids: Sequence[str]) -> dict[str, Command]:
        """Those with these ids that there are."""
        return {c.id: c for c in await self._many(commands.c.id, ids)}

    async def about(self, command: Command) -> tuple[int, str | None]:
        """Its version, and the name of another command that differs from its own in case alone."""
        found = await self._db.first(_ABOUT, {"key": command.id, "name": command.name})
        return (found["version"] or 0, found["namesake"]) if found is not None else (0, None)

    async def page(
        self, wanted: CommandFilter = ALL, *, after: str | None = None, limit: int | None = None
    ) -> list[Command]:
        """Commands by name, those behind the name `after`, at most `limit`."""
        statement = self._page(_WHOLE, wanted, after, limit)
        if statement is None:
            return []
        async with self._db.read() as connection:
            found = (await connection.execute(statement)).mappings()
            return [row_to_command(row) for row in found]

    async def _apply(
        self, connection: AsyncConnection, todo: Sequence[Exchange], author: str, note: str
    ) -> None:
        gone = [{"command_id": b.id} for b, after in todo if b is not None and after is None]
        new = [after for before, after in todo if before is None and after is not None]
        changed = [after for before, after in todo if before is not None and after is not None]
        if gone:
            await connection.execute(_DELETE, gone)
        await self._put(connection, new, changed, author, note)

    async def _put(
        self,
        connection: AsyncConnection,
        new: Sequence[Command],
        changed: Sequence[Command],
        author: str,
        note: str,
    ) -> None:
        if new:
            await connection.execute(commands.insert(), [command_to_row(c) for c in new])
        for command in changed:
            row = command_to_row(command)
            values = {name: row[name] for name in row if name not in _COUNTERS}
            await connection.execute(_REPLACE.values(values), {"command_id": command.id})
        if (author or note) and (new or changed):
            signed = [_signed(command, author, note) for command in (*new, *changed)]
            await connection.execute(_SIGN, signed)

    async def summaries(
        self, wanted: CommandFilter = ALL, *, after: str | None = None, limit: int | None = None
    ) -> list[Command]:
        """The same without code, defaults and parameters, which lists do not show."""
        statement = self._page(_SUMMARY, wanted, after, limit)
        if statement is None:
            return []
        async with self._db.read() as connection:
            return [row_to_summary(row) for row in await connection.execute(statement)]

    def _page(
        self, what: Select[Any], wanted: CommandFilter, after: str | None, limit: int | None
    ) -> Select[Any] | None:
        """What to ask for; `None` when no row can match."""
        if not storable(wanted.group, *wanted.tags):
            return None
        name = commands.c.name if self._db.is_sqlite else collate(commands.c.name, CODE_POINT_ORDER)
        statement = matching(what, wanted, is_sqlite=self._db.is_sqlite)
        statement = statement.order_by(name).limit(limit)
        return statement if after is None else statement.where(name > after)

    async def _one(self, statement: Select[Any], key: str) -> Command | None:
        if not storable(key):
            return None
        values = await self._db.first(statement, {"key": key})
        return None if values is None else row_to_command(values)

    async def _many(self, column: Any, keys: Sequence[str]) -> list[Command]:  # noqa: ANN401
        found: list[Command] = []
        for part in parts(keys):
            statement = select(commands).where(column.in_(part))
            async with self._db.read() as connection:
                rows = (await connection.execute(statement)).mappings()
                found += [row_to_command(row) for row in rows]
        return found

    async def _alone(self, connection: AsyncConnection) -> None:
        """Let nobody else write commands meanwhile: two who wrote several could wait for ever."""
        if not self._db.is_sqlite:
            await connection.execute(text("LOCK TABLE commands IN SHARE ROW EXCLUSIVE MODE"))


def _signed(command: Command, author: str, note: str) -> dict[str, object]:
    return {
        "signed": command.id,
        "written_at": command.updated_at,
        "new_author": author,
        "new_note": note,
    }


def _digests(rows: Sequence[Any]) -> list[Digest]:
    return [
        Digest(name, group, language, hashlib.sha256(code.encode()).hexdigest())
        for name, group, language, code in rows
    ]


def _name(*versions: Command | None) -> str:
    return next(command.name for command in versions if command is not None)


def _still_right(changes: Sequence[Exchange], there: Mapping[str, Command]) -> list[Exchange]:
    """Those of them that find what they expect."""
    return [
        (before, after)
        for before, after in changes
        if _same(there.get(_name(before, after)), before)
    ]


def _same(there: Command | None, before: Command | None) -> bool:
    """Whether a command is as it was, whatever has been run meanwhile."""
    if there is None or before is None:
        return there is before
    return command_to_row(there) | _COUNTED == command_to_row(before) | _COUNTED
