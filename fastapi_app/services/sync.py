"""Scripts of a folder and stored commands: what differs, and making one side as the other is."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi_app.engine.interpreters import trouble_with
from fastapi_app.errors import (
    FolderError,
    InvalidSyncError,
    ScriptNotFoundError,
)
from fastapi_app.models import Command, Language
from fastapi_app.services.audit import AuditService
from fastapi_app.services.diffs import unified
from fastapi_app.services.script_rules import file_of
from fastapi_app.services.sync_apply import Applier, Job
from fastapi_app.services.sync_picture import Picture, picture
from fastapi_app.services.sync_plan import Plan, State, plan
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.script_folder import ScriptFolder
from fastapi_app.storage.script_lock import BROKEN, LOCK, Locked, read_lock, write_lock
from fastapi_app.sync_models import (
    EVERYTHING,
    BothSides,
    Checked,
    Note,
    Order,
    Outcome,
    Progress,
    Side,
    Status,
    Step,
    Verification,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
TOGETHER = 100
"""Scripts between two words on how far it is, and in one transaction."""
HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
"""What fails for one file and will fail for the next."""
MEANWHILE = "it was changed meanwhile; sync again"


Tell = Callable[[Progress], None]


class SyncService:
    """One synchronisation at a time: others wait for it. What has begun goes on to its end."""

    def __init__(self, folder: ScriptFolder, commands: CommandStore, audit: AuditService) -> None:
        self.folder = folder
        self._commands = commands
        self._audit = audit
        self._applied = Applier(folder, commands)
        self._turn = asyncio.Lock()
        self._going: set[asyncio.Task[Any]] = set()

    async def aclose(self) -> None:
        """Wait for what goes on."""
        await asyncio.gather(*self._going, return_exceptions=True)

    async def status(self) -> Status:
        """What differs between folder and store.

        Raises:
            FolderError, LockTooNewError: the folder cannot be read.
        """
        now = await self._picture()
        found = now.compared
        return Status(
            str(self.folder.root), found.unchanged, found.differences, now.problems, now.warnings
        )

    async def verify(self) -> Verification:
        """Hold the lock against both sides, reading every script anew.

        Raises:
            FolderError, LockTooNewError: the folder cannot be read.
        """
        now = await self._picture(thorough=True)
        wrong = []
        for name, entry in sorted(now.lock.scripts.items()):
            base = now.base[name]
            sides = [_against(base, side.get(name)) for side in (now.folder, now.store)]
            if sides != ["same", "same"] or now.paths[name] != entry.file:
                wrong.append(Checked(name, entry.file, *sides))
        unlocked = [name for name in now.compared.agreed if name not in now.base]
        return Verification(
            str(self.folder.root), len(now.lock.scripts), wrong, unlocked, now.problems
        )

    async def both(self, name: str) -> BothSides:
        """Both sides of one script.

        Raises:
            ScriptNotFoundError: neither has it.
            DiffTooLargeError: there is too much to be compared.
            FolderError, LockTooNewError: the folder cannot be read.
        """
        now = await self._picture()
        command = await self._commands.by_name(name)
        path = now.paths.get(name)
        if command is None and path is None:
            raise ScriptNotFoundError(name)
        content = None if path is None else await asyncio.to_thread(self._content, path)
        here = None if content is None else content.decode("utf-8", "replace")
        there = None if command is None else command.code
        shown = path or file_of(name, command.group if command else "", _language(command))[0]
        labels = f"store/{shown}", f"folder/{shown}"
        diff = await asyncio.to_thread(unified, there or "", here or "", labels)
        return BothSides(name, shown, here, there, diff)

    async def push(self, order: Order = EVERYTHING, tell: Tell | None = None) -> Outcome:
        """Store what the folder has.

        Raises:
            InvalidSyncError: a name of the order is nowhere.
            FolderError, FolderBusyError, LockTooNewError: the folder cannot be used.
            StorageUnavailableError: the database does not answer; what was stored is in the lock.
        """
        return await self._to_its_end(self._sync(Side.FOLDER, order, tell))

    async def pull(self, order: Order = EVERYTHING, tell: Tell | None = None) -> Outcome:
        """Write what the store has into the folder.

        Raises:
            InvalidSyncError: a name of the order is nowhere.
            FolderError, FolderBusyError, LockTooNewError: the folder cannot be used, or is full;
                what was written is in the lock.
        """
        return await self._to_its_end(self._sync(Side.STORE, order, tell))

    async def reported(
        self, source: Side, order: Order
    ) -> AsyncGenerator[Progress | Outcome, None]:
        """Push or pull with a word on how far it is after each part, and the outcome at last."""
        told: asyncio.Queue[Progress | None] = asyncio.Queue()
        work = asyncio.ensure_future(
            (self.push if source is Side.FOLDER else self.pull)(order, told.put_nowait)
        )
        work.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (progress := await told.get()) is not None:
                yield progress
            yield await work
        finally:
            if work.done() and not work.cancelled():
                work.exception()  # told, or nobody is there any more
            work.cancel()

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Whoever asked may leave: half of it would help nobody."""
        task = asyncio.create_task(work)
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return await asyncio.shield(task)

    async def _sync(self, source: Side, order: Order, tell: Tell | None) -> Outcome:
        async with self._turn:
            await asyncio.to_thread(self.folder.make)
            with self.folder.held():
                content = await asyncio.to_thread(self._content, LOCK)
                now = await self._picture(content)
                todo = self._planned(now, source, order)
                job = Job(now, self._begun(now, todo, order), dict(now.lock.scripts))
                try:
                    await self._do(source, job, todo.steps, tell)
                    if source is Side.FOLDER:
                        await self._warn(job)
                finally:
                    if not order.dry_run:
                        await asyncio.to_thread(self._save, job, content)
                        await self._record(source, job.outcome)
                return job.outcome

    async def _do(self, source: Side, job: Job, steps: Sequence[Step], tell: Tell | None) -> None:
        for begin in range(0, len(steps), TOGETHER):
            part = steps[begin : begin + TOGETHER]
            there = await self._commands.named([step.name for step in part])
            if source is Side.FOLDER:
                await self._applied.store(job, part, there)
            else:
                await asyncio.to_thread(self._applied.write, job, part, there)
            if tell is not None:
                tell(Progress(begin + len(part), len(steps)))

    async def _warn(self, job: Job) -> None:
        """Tell of languages that the scripts just stored are in, and that cannot run here."""
        found = (job.now.folder.get(step.name) for step in job.outcome.done)
        for language, count in sorted(Counter(s.language for s in found if s).items()):
            if trouble := await asyncio.to_thread(trouble_with, Language(language)):
                what = f"{count} of these cannot run on the server's machine: {trouble}"
                job.outcome.warnings.append(Note(language, what))

    def _planned(self, now: Picture, source: Side, order: Order) -> Plan:
        wanted = {*order.names, *order.take}
        known = (now.folder, now.store, now.base, now.held)
        if unknown := sorted(n for n in wanted if not any(n in each for each in known)):
            raise InvalidSyncError(unknown)
        return plan(now.compared, source, prune=order.prune, names=wanted, take=set(order.take))

    def _begun(self, now: Picture, todo: Plan, order: Order) -> Outcome:
        return Outcome(
            str(self.folder.root),
            order.dry_run,
            now.compared.unchanged,
            kept=todo.kept,
            conflicts=todo.conflicts,
            problems=list(now.problems),
            warnings=list(now.warnings),
        )

    async def _picture(self, lock: bytes | None = None, *, thorough: bool = False) -> Picture:
        look = asyncio.create_task(asyncio.to_thread(self.folder.look, thorough=thorough))
        try:
            stored = await self._commands.digests()
        finally:
            found = await look
        if lock is None:
            lock = await asyncio.to_thread(self._content, LOCK)
        return await asyncio.to_thread(picture, found, stored, read_lock(lock))

    def _content(self, path: str) -> bytes | None:
        try:
            return self.folder.read(path)
        except OSError as error:
            raise FolderError(f"{self.folder.root}/{path}", error.strerror or "") from error

    def _save(self, job: Job, old: bytes | None) -> None:
        """Write the lock when it says something else now; one that was broken is kept beside it."""
        _agree(job.now, job.locked)
        new = write_lock(job.locked)
        if new == old or (old is None and not job.locked):
            return
        try:
            if self.folder.read(LOCK) != old:
                log.warning("%s was changed meanwhile, and is left as it is", LOCK)
                return
            if job.now.lock.problems and old is not None:
                self.folder.replace(BROKEN, old)
            self.folder.replace(LOCK, new)
        except OSError as error:  # the next time finds both sides alike
            log.warning("%s could not be written: %s", LOCK, error.strerror)

    async def _record(self, source: Side, outcome: Outcome) -> None:
        if outcome.done:
            action = "sync.push" if source is Side.FOLDER else "sync.pull"
            detail = " ".join(f"{step.kind} {step.name}" for step in outcome.done[:TOGETHER])
            counted = f"{len(outcome.done)} scripts: {detail}"
            await self._audit.record(action, outcome.folder, detail=counted)


def _agree(now: Picture, locked: dict[str, Locked]) -> None:
    """Put into the lock what is alike on both sides anyway, and where it lies now."""
    for name, state in now.base.items():
        if now.folder.get(name) == state and name not in now.held and name in locked:
            locked[name] = locked[name]._replace(file=now.paths[name])
    for name in now.compared.agreed:
        if name in now.folder:
            locked[name] = now.locked(name)
        else:
            locked.pop(name, None)


def _language(command: Command | None) -> Language:
    return Language.SHELL if command is None else command.language


def _against(base: State, side: State | None) -> str:
    if side is None:
        return "missing"
    return "same" if side == base else "differs"
