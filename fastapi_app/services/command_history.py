"""What stored commands were before: versions, differences, roll-back; and how their runs went."""

from __future__ import annotations

import asyncio

from fastapi_app.errors import VersionNotFoundError
from fastapi_app.models import Command, CommandStats, CommandVersion, Page
from fastapi_app.services import cursors
from fastapi_app.services.commands import CommandService
from fastapi_app.services.diffs import Diff, compared
from fastapi_app.storage.command_history import CommandHistory

CONTENT = ("code", "language", "description", "group", "tags", "defaults", "parameters")
"""What a roll-back brings back; a name may be another's by now, and active is a switch."""


class HistoryService:
    """The past of stored commands; a name may be an id, as `CommandService.find` has it.

    All methods that take a name raise CommandNotFoundError when there is none.
    """

    def __init__(self, commands: CommandService, history: CommandHistory) -> None:
        self._commands = commands
        self._history = history

    async def versions(
        self, name: str, cursor: str | None = None, limit: int = 50
    ) -> Page[CommandVersion]:
        """What it was, the newest first.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        command = await self._commands.find(name)
        before = cursors.decode_number(cursor) if cursor else None
        found = await self._history.versions(command.id, before=before, limit=limit + 1)
        items = found[:limit]
        return Page(items, cursors.encode(items[-1].version) if len(found) > limit else None)

    async def version(self, name: str, number: int) -> CommandVersion:
        """What it was at that version.

        Raises:
            VersionNotFoundError: there is none of that number.
        """
        return await self._version(await self._commands.find(name), number)

    async def diff(self, name: str, before: int | None = None, after: int | None = None) -> Diff:
        """What changed between two versions: by default from the one before, to the latest.

        Raises:
            VersionNotFoundError: there is none of that number.
            DiffTooLargeError: there is too much to be compared.
        """
        described = await self._commands.described(await self._commands.find(name))
        after = described.version if after is None else after
        before = max(after - 1, 1) if before is None else before
        old = await self._version(described.command, before)
        new = await self._version(described.command, after)
        return await asyncio.to_thread(compared, old, new)

    async def roll_back(self, name: str, number: int) -> Command:
        """Make what it was at that version its newest one; nothing in between is lost.

        Raises:
            VersionNotFoundError: there is no such version.
        """
        command = await self._commands.find(name)
        old = await self._version(command, number)
        changes = {field: getattr(old, field) for field in CONTENT}
        return await self._commands.update(name, changes, note=f"rolled back to version {number}")

    async def stats(self, name: str, since: float | None = None) -> CommandStats:
        """How its runs went, those accepted at `since` (Unix seconds) or later."""
        command = await self._commands.find(name)
        return await self._history.stats(command.id, since)

    async def _version(self, command: Command, number: int) -> CommandVersion:
        found = await self._history.version(command.id, number)
        if found is None:
            raise VersionNotFoundError(command.name, number)
        return found
