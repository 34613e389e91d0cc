"""Searching stored commands: by what they say, by names spelled nearly right, by likeness."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum

from fastapi_app.models import Command, CommandFilter, Found
from fastapi_app.services.commands import CommandService
from fastapi_app.services.near_names import NearNames
from fastapi_app.services.similarity import Similarity
from fastapi_app.storage.command_search import CommandSearch
from fastapi_app.storage.commands import CommandStore


class SearchMode(StrEnum):
    """What a search goes by. `auto`: names spelled nearly like it when the text finds nothing."""

    AUTO = "auto"
    TEXT = "text"
    FUZZY = "fuzzy"


class SearchService:
    """Finds stored commands."""

    def __init__(
        self,
        *,
        commands: CommandService,
        store: CommandStore,
        search: CommandSearch,
        similarity: Similarity,
    ) -> None:
        self._commands = commands
        self._store = store
        self._search = search
        self._similarity = similarity
        self._names = -1, NearNames([])

    async def search(
        self, query: str, wanted: CommandFilter, mode: SearchMode, limit: int
    ) -> list[Found]:
        """At most `limit` commands, the best first."""
        if mode is not SearchMode.FUZZY:
            found = await self._search.text(query, wanted, limit)
            if found or mode is SearchMode.TEXT:
                return found
        names = await self._near_names()
        near = await asyncio.to_thread(names.near, query)
        known = await self._search.only([name for name, _ in near], wanted)
        return [replace(known[name], score=score) for name, score in near if name in known][:limit]

    async def similar(self, name: str, limit: int) -> list[tuple[Command, float]]:
        """The commands most like one, with their likeness from 0 to 1, the most alike first.

        Raises:
            CommandNotFoundError: there is none of that name.
            SimilarityUnavailableError: they cannot be compared now.
        """
        command = await self._commands.find(name)
        near = await self._similarity.near(command.id, await self._search.changes(), limit)
        known = await self._store.with_ids([command_id for command_id, _ in near])
        return [(known[key], score) for key, score in near if key in known]

    async def tags(self) -> list[tuple[str, int]]:
        """Every tag, with how many commands have it, by name."""
        return await self._search.tags()

    async def _near_names(self) -> NearNames:
        """The names as they are now; read again when anybody has changed a command."""
        changes = await self._search.changes()
        if self._names[0] != changes:
            names = await self._search.names()
            self._names = changes, await asyncio.to_thread(NearNames, names)
        return self._names[1]
