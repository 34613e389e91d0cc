"""Stored commands: create, look up, change, delete."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi_app.errors import CommandNotFoundError
from fastapi_app.models import Command, Language, Page
from fastapi_app.services import cursors
from fastapi_app.services.audit import AuditService
from fastapi_app.services.documents import parse
from fastapi_app.services.ids import new_id
from fastapi_app.storage.commands import CommandStore


class CommandService:
    """Everything that can be done with stored commands."""

    def __init__(self, commands: CommandStore, audit: AuditService) -> None:
        self._commands = commands
        self._audit = audit

    async def create(
        self,
        name: str,
        code: str,
        language: Language,
        *,
        description: str = "",
        group: str = "",
        tags: Sequence[str] = (),
        is_active: bool = True,
    ) -> Command:
        """Store a new command.

        Raises:
            CommandExistsError: the name is taken.
            InvalidDocumentError: it is to be a document of steps, and is none.
        """
        _check(language, code)
        now = time.time()
        command = Command(
            id=new_id(),
            name=name,
            code=code,
            language=language,
            created_at=now,
            updated_at=now,
            description=description,
            group=group,
            tags=tuple(tags),
            is_active=is_active,
        )
        await self._commands.add(command)
        await self._audit.record("command.create", name)
        return command

    async def get(self, name: str) -> Command:
        """The command of that name.

        Raises:
            CommandNotFoundError: there is none.
        """
        return _required(await self._commands.by_name(name), name)

    async def get_by_id(self, command_id: str) -> Command:
        """The command with that id.

        Raises:
            CommandNotFoundError: there is none.
        """
        return _required(await self._commands.by_id(command_id), command_id)

    async def update(self, name: str, changes: Mapping[str, Any]) -> Command:
        """Change some fields of a command.

        Raises:
            CommandNotFoundError: there is none of that name.
            CommandExistsError: its new name is taken.
            InvalidDocumentError: it is to be a document of steps, and is none.
        """
        command = await self.get(name)
        changed = replace(command, **changes, updated_at=time.time())
        _check(changed.language, changed.code)
        await self._commands.replace(changed)
        await self._audit.record("command.change", name, detail=", ".join(changes))
        return changed

    async def delete(self, name: str) -> None:
        """Forget a command; its runs stay.

        Raises:
            CommandNotFoundError: there is none of that name.
        """
        command = await self.get(name)
        await self._commands.delete(command.id)
        await self._audit.record("command.delete", name)

    async def page(
        self,
        *,
        include_inactive: bool = False,
        language: Language | None = None,
        group: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Command]:
        """Commands by name.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        found = await self._commands.page(
            include_inactive=include_inactive,
            language=language,
            group=group,
            after=cursors.decode_name(cursor) if cursor else None,
            limit=limit + 1,
        )
        items = found[:limit]
        return Page(items, cursors.encode(items[-1].name) if len(found) > limit else None)

    async def all(self, *, include_inactive: bool = False) -> list[Command]:
        """Every command, by name."""
        return await self._commands.page(include_inactive=include_inactive)


def _check(language: Language, code: str) -> None:
    if language.has_steps:
        parse(language, code)


def _required(command: Command | None, key: str) -> Command:
    if command is None:
        raise CommandNotFoundError(key)
    return command
