"""Making one side as the other is, script by script; what is not as it was is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi_app.errors import AppError, FolderError
from fastapi_app.models import Command, Language
from fastapi_app.services.audit import caller_name
from fastapi_app.services.commands import check
from fastapi_app.services.ids import new_id
from fastapi_app.services.script_rules import described, file_of
from fastapi_app.services.sync_picture import Picture
from fastapi_app.services.sync_plan import State
from fastapi_app.storage.commands import CommandStore, Exchange
from fastapi_app.storage.script_folder import LARGEST, ScriptChangedError, ScriptFolder
from fastapi_app.storage.script_lock import Locked
from fastapi_app.sync_models import Kind, Note, Outcome, Step

NOTE = "pushed"
"""What the history of a command says of it."""
MEANWHILE = "it was changed meanwhile; sync again"
HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
"""What fails for one file and will fail for the next."""


@dataclass(frozen=True)
class Job:
    """What was found, what comes of it, and what the lock is to say then."""

    now: Picture
    outcome: Outcome
    locked: dict[str, Locked]

    def done(self, step: Step, entry: Locked | None) -> None:
        """Both sides are alike now."""
        self.outcome.done.append(step)
        self.locked.pop(step.name, None)
        if entry is not None:
            self.locked[step.name] = entry

    def refused(self, step: Step, detail: str) -> None:
        """Both sides are as they were."""
        about = self.now.paths.get(step.name, step.name)
        self.outcome.problems.append(Note(about, detail))


class Applier:
    """Writes to the store and to the folder."""

    def __init__(self, folder: ScriptFolder, commands: CommandStore) -> None:
        self._folder = folder
        self._commands = commands

    async def store(self, job: Job, steps: Sequence[Step], there: Mapping[str, Command]) -> None:
        """Have the store be as the folder is; `there` are the commands it has of these names.

        Raises:
            CommandExistsError, StorageUnavailableError: nothing of these is stored.
        """
        changes = await asyncio.to_thread(self._prepared, job, steps, there)
        missed: set[str] = set()
        if changes and not job.outcome.dry_run:
            missed = await self._commands.exchange(
                list(changes.values()), author=caller_name(), note=NOTE
            )
        for step in steps:
            if step.name in missed:
                job.refused(step, MEANWHILE)
            elif step.name in changes:
                gone = step.kind is Kind.DELETED
                job.done(step, None if gone else job.now.locked(step.name))

    def write(self, job: Job, steps: Sequence[Step], there: Mapping[str, Command]) -> None:
        """Have the folder be as the store is; `there` are the commands of these names.

        Raises:
            FolderError: it takes nothing any more; what was written before stays.
        """
        for step in steps:
            try:
                command = there.get(step.name)
                _require(job.now, step, command)
                entry = self._put(job, step.name, command)
            except ScriptChangedError as error:
                job.refused(step, error.detail)
            except ValueError as error:
                job.refused(step, str(error))
            except OSError as error:
                cause = error.strerror or str(error)
                if error.errno in HOPELESS:
                    raise FolderError(str(self._folder.root), cause) from error
                job.refused(step, cause)
            else:
                job.done(step, entry)

    def _prepared(
        self, job: Job, steps: Sequence[Step], there: Mapping[str, Command]
    ) -> dict[str, Exchange]:
        """What is to be exchanged, by name; what cannot be is told."""
        contents = self._contents(job.now, steps)
        changes: dict[str, Exchange] = {}
        for step in steps:
            before = there.get(step.name)
            try:
                _require(job.now, step, before)
                changes[step.name] = (before, _command(job.now, step, before, contents))
            except AppError as error:
                job.refused(step, error.detail)
            except ValueError as error:
                job.refused(step, str(error))
        return changes

    def _contents(self, now: Picture, steps: Sequence[Step]) -> dict[str, bytes]:
        """Of each script what it was when it was looked at; others are left out."""
        found = {}
        for step in steps:
            if step.kind is not Kind.DELETED:
                with contextlib.suppress(OSError):
                    content = self._folder.read(now.paths[step.name])
                    if content is not None and _digest(content) == now.folder[step.name].sha256:
                        found[step.name] = content
        return found

    def _put(self, job: Job, name: str, command: Command | None) -> Locked | None:
        """Write or delete one script; returns what to put into the lock."""
        here = job.now.folder.get(name)
        old = None if here is None else (job.now.paths[name], here.sha256)
        if command is None:
            if old is not None and not job.outcome.dry_run:
                self._folder.remove(*old)
            return None
        content = command.code.encode()
        if len(content) > LARGEST:
            raise ValueError(f"it has {len(content)} bytes, a script at most {LARGEST}")
        path, _ = file_of(name, command.group, command.language)
        if here is not None and here[:2] == (command.group, command.language):
            path = job.now.paths[name]  # `.bash` and `.mjs` are as good
        if not job.outcome.dry_run:
            self._folder.write(path, content, old)
        return Locked(path, command.language, _digest(content))


def _require(now: Picture, step: Step, command: Command | None) -> None:
    """Refuse what the store has not any more as it was.

    Raises:
        ValueError: it is so.
    """
    state = None
    if command is not None:
        state = State(command.group, command.language, _digest(command.code.encode()))
    if state != now.store.get(step.name):
        raise ValueError(MEANWHILE)


def _command(
    now: Picture, step: Step, before: Command | None, contents: Mapping[str, bytes]
) -> Command | None:
    """The command that a script of the folder is to be.

    Raises:
        ValueError: the script is not what it was, or what it says of itself is not right.
        AppError: it could never run.
    """
    if step.kind is Kind.DELETED:
        return None
    if step.name not in contents:
        raise ValueError(MEANWHILE)
    state, at = now.folder[step.name], time.time()
    code, language = contents[step.name].decode(), Language(state.language)
    fields: dict[str, Any] = {"code": code, "language": language, "group": state.group}
    fields |= described(language, code) | {"updated_at": at}
    if before is None:
        command = Command(id=new_id(), name=step.name, created_at=at, **fields)
    else:
        command = replace(before, **fields)
    check(command)
    return command


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
