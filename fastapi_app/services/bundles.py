"""Many stored commands at once: importing them, all or none, and exporting them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fastapi_app.errors import (
    AppError,
    CommandExistsError,
    FieldProblem,
    ImportConflictError,
    InvalidImportError,
)
from fastapi_app.models import Command, Language
from fastapi_app.services.audit import AuditService, caller_name
from fastapi_app.services.commands import check
from fastapi_app.services.ids import new_id
from fastapi_app.storage.commands import CommandStore

NOTE = "imported"
Item = Mapping[str, Any]
"""Fields of a command, `name` and `code` at least; what is not given stays, or is the default."""


class Outcome(StrEnum):
    """What an import does with an item."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became, or would become, of one item; `changed` are the fields that differ."""

    name: str
    outcome: Outcome
    changed: tuple[str, ...] = ()


class BundleService:
    """Imports commands."""

    def __init__(self, commands: CommandStore, audit: AuditService) -> None:
        self._commands = commands
        self._audit = audit

    async def load(
        self, items: Sequence[Item], *, update: bool = False, dry_run: bool = False
    ) -> list[Imported]:
        """Store the items, all or none. With `dry_run` nothing is stored, and conflicts are told.

        A command of the same name that says something else is a conflict, unless `update`.

        Raises:
            InvalidImportError: some of them can never be stored.
            ImportConflictError: some are there with other content.
        """
        there = await self._commands.named([item["name"] for item in items])
        now = time.time()
        wanted = [_wanted(item, there.get(item["name"]), now) for item in items]
        if problems := await asyncio.to_thread(lambda: list(_problems(wanted))):
            raise InvalidImportError(problems)
        done = [_outcome(command, there.get(command.name), update=update) for command in wanted]
        if dry_run:
            return done
        if conflicts := list(_conflicts(done)):
            raise ImportConflictError(conflicts)
        await self._write(wanted, done)
        return done

    async def _write(self, wanted: Sequence[Command], done: Sequence[Imported]) -> None:
        pairs = list(zip(wanted, done, strict=True))
        new = [command for command, item in pairs if item.outcome is Outcome.CREATED]
        changed = [command for command, item in pairs if item.outcome is Outcome.UPDATED]
        if not new and not changed:
            return
        try:
            await self._commands.write(new, changed, author=caller_name(), note=NOTE)
        except CommandExistsError as error:
            problem = FieldProblem("/items", "some were stored by somebody else meanwhile")
            raise ImportConflictError([problem]) from error
        names = ", ".join(command.name for command in (*new, *changed))
        detail = f"{len(new)} created, {len(changed)} updated"
        await self._audit.record("command.import", names, detail=detail)


def _wanted(item: Item, there: Command | None, now: float) -> Command:
    if there is not None:
        return replace(there, **item, updated_at=now)
    given = {"language": Language.SHELL} | dict(item)
    return Command(id=new_id(), created_at=now, updated_at=now, **given)


def _problems(wanted: Sequence[Command]) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for number, command in enumerate(wanted):
        if command.name in seen:
            yield FieldProblem(f"/items/{number}/name", f"{command.name!r} is there twice")
        seen.add(command.name)
        try:
            check(command)
        except AppError as error:
            for problem in error.fields or [FieldProblem("/code", error.detail)]:
                yield FieldProblem(
                    f"/items/{number}{problem.pointer}", f"{command.name!r}: {problem.detail}"
                )


def _outcome(command: Command, there: Command | None, *, update: bool) -> Imported:
    if there is None:
        return Imported(command.name, Outcome.CREATED)
    changed = tuple(name for name in FIELDS if getattr(command, name) != getattr(there, name))
    if not changed:
        return Imported(command.name, Outcome.UNCHANGED)
    return Imported(command.name, Outcome.UPDATED if update else Outcome.CONFLICT, changed)


FIELDS = (
    "code", "language", "description", "group", "tags", "is_active", "defaults", "parameters",
)  # fmt: skip


def _conflicts(done: Sequence[Imported]) -> Iterator[FieldProblem]:
    for number, item in enumerate(done):
        if item.outcome is Outcome.CONFLICT:
            changed = ", ".join(item.changed)
            yield FieldProblem(f"/items/{number}", f"{item.name!r} has another {changed}")
