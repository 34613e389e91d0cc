"""Stored commands: create, look up, change, delete."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi_app.errors import (
    CommandNotFoundError,
    InvalidNotebookError,
    InvalidParametersError,
)
from fastapi_app.languages import trouble_with_notebook
from fastapi_app.models import (
    NO_DEFAULTS,
    Command,
    CommandFilter,
    Language,
    Page,
    RunDefaults,
)
from fastapi_app.services import cursors
from fastapi_app.services.audit import AuditService, caller_name
from fastapi_app.services.documents import parse
from fastapi_app.services.ids import new_id
from fastapi_app.services.parameters import Schema, check_declared, declared_by
from fastapi_app.storage.commands import CommandStore


@dataclass(frozen=True, slots=True)
class Described:
    """A command, its latest version, and what else there is to say of it.

    `declared` is the JSON schema that its starts are held to. `namesake` is another command, whose
    name differs in case alone.
    """

    command: Command
    version: int
    declared: Schema | None
    namesake: str | None


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
        defaults: RunDefaults = NO_DEFAULTS,
        parameters: Schema | None = None,
    ) -> Command:
        """Store a new command.

        Raises:
            CommandExistsError: the name is taken.
            InvalidDocumentError, InvalidNotebookError: it is to be one, and is none.
            InvalidParametersError: what it declares cannot be used.
        """
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
            defaults=defaults,
            parameters=parameters,
        )
        await asyncio.to_thread(check, command)
        await self._commands.add(command, author=caller_name())
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

    async def find(self, name: str) -> Command:
        """The command of that name, or with that id when no command is called so.

        An id reaches what has come to have the name of a route, such as `search`.

        Raises:
            CommandNotFoundError: there is none.
        """
        found = await self._commands.by_name(name)
        if found is None and _is_id(name):
            found = await self._commands.by_id(name.lower())
        return _required(found, name)

    async def described(self, command: Command) -> Described:
        """The command with what else there is to say of it."""
        version, namesake = await self._commands.about(command)
        try:
            declared = declared_by(command)
        except InvalidParametersError:  # written by another program; a start tells what is wrong
            declared = None
        return Described(command, version, declared, namesake)

    async def update(self, name: str, changes: Mapping[str, Any], note: str = "") -> Command:
        """Change some fields of a command; what it was becomes a version.

        Raises:
            CommandNotFoundError: there is none of that name.
            CommandExistsError: its new name is taken.
            InvalidDocumentError, InvalidNotebookError: it is to be one, and is none.
            InvalidParametersError: what it declares cannot be used.
        """
        command = await self.find(name)
        changed = replace(command, **changes, updated_at=time.time())
        await asyncio.to_thread(check, changed)
        await self._commands.replace(changed, author=caller_name(), note=note)
        await self._audit.record("command.change", command.name, detail=note or ", ".join(changes))
        return changed

    async def delete(self, name: str) -> None:
        """Forget a command and its history; its runs stay.

        Raises:
            CommandNotFoundError: there is none of that name.
        """
        command = await self.find(name)
        await self._commands.delete(command.id)
        await self._audit.record("command.delete", command.name)

    async def page(
        self,
        wanted: CommandFilter,
        *,
        cursor: str | None = None,
        limit: int = 50,
        whole: bool = True,
    ) -> Page[Command]:
        """Commands by name; not `whole`: without code, defaults and parameters.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        after = cursors.decode_name(cursor) if cursor else None
        read = self._commands.page if whole else self._commands.summaries
        found = await read(wanted, after=after, limit=limit + 1)
        items = found[:limit]
        return Page(items, cursors.encode(items[-1].name) if len(found) > limit else None)

    async def all(self, *, include_inactive: bool = False) -> list[Command]:
        """Every command, by name."""
        return await self._commands.page(_any_or_active(include_inactive))

    async def summaries(self, *, include_inactive: bool = False) -> list[Command]:
        """The same without code, defaults and parameters."""
        return await self._commands.summaries(_any_or_active(include_inactive))


def check(command: Command) -> None:
    """Refuse what could never run.

    Raises:
        InvalidDocumentError, InvalidNotebookError: it is to be one, and is none.
        InvalidParametersError: what it declares cannot be used.
    """
    if command.language.has_steps:
        parse(command.language, command.code)
    elif command.language is Language.NOTEBOOK and (why := trouble_with_notebook(command.code)):
        raise InvalidNotebookError(why)
    check_declared(command.language, command.code, command.parameters)


def _any_or_active(include_inactive: bool) -> CommandFilter:
    return CommandFilter(active=None if include_inactive else True)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _required(command: Command | None, key: str) -> Command:
    if command is None:
        raise CommandNotFoundError(key)
    return command
