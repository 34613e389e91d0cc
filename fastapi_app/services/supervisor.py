"""Looks after processes: waits for the end of each one's run, and starts it again as planned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial

from fastapi_app.engine.background import Background
from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.health import Prober
from fastapi_app.engine.identity import own_identity, owner_is_alive
from fastapi_app.errors import QueueFullError, StorageUnavailableError
from fastapi_app.models import Process, Retry, Run, RunKind, RunOptions, RunStatus
from fastapi_app.services.checkups import Checkup
from fastapi_app.services.ids import new_id
from fastapi_app.storage.database import Database
from fastapi_app.storage.managed import ManagedStore
from fastapi_app.storage.supervision import OvertakenError, SupervisionStore
from fastapi_app.supervision import (
    Again,
    Ending,
    Health,
    HealthCheck,
    Restart,
    Stay,
    Supervision,
    Wanted,
    decide,
)

log = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds after which it is noticed that somebody else has started a process."""
TRY_AGAIN = 0.5
"""Seconds until what could not be done is tried again."""


class Supervisor:
    """Looks after every process that this server owns.

    The wait before a restart is the queue's: the next run is accepted at once, and due later. So it
    is there after a crash of the server, and whoever stops it, by either stack, stops the process.
    """

    def __init__(
        self,
        *,
        engine: EmbeddedEngine,
        managed: ManagedStore,
        supervision: SupervisionStore,
        prober: Prober,
        database: Database,
    ) -> None:
        self._engine = engine
        self._managed = managed
        self._supervision = supervision
        self._prober = prober
        self._version = database.version
        self._background = Background()
        self._watched: dict[str, asyncio.Event] = {}
        """For each process that is waited for: set when its plan has changed."""
        self.restarts = 0
        """How many this server has made."""
        self.on_change: Callable[[str], None] = _nothing
        """Called with the id of a process that may stand elsewhere now."""

    async def start(self) -> None:
        """Take up what an earlier server looked after, and start what is to start by itself."""
        await self._supervision.adopt(own_identity(), owner_is_alive)
        for process_id in await self._supervision.of_owner(own_identity()):
            self._background.start(self._take_up(process_id))
        self._background.start(self._look_around())

    async def aclose(self) -> None:
        """Look after nothing any more; what runs goes on, and the next server takes it up."""
        await self._background.aclose()

    def watch(self, process_id: str) -> None:
        """Wait for the end of a process's run, by its plan as it is now."""
        if (changed := self._watched.get(process_id)) is not None:
            changed.set()
            return
        self._watched[process_id] = asyncio.Event()
        # What it does is nobody's request: it must bear nobody's name in logs.
        Context().run(self._background.start, self._watch(process_id))

    async def begin(self, process: Process) -> Run:
        """Start a process because somebody has asked for it.

        Raises:
            OvertakenError: it runs already, or is gone.
            QueueFullError: too many runs wait already.
        """
        run = await self._engine.submit(run_of(process), self._supervision.begin)
        self.watch(process.id)
        return run

    async def _watch(self, process_id: str) -> None:
        try:
            while await self._until_decided(process_id):
                self.on_change(process_id)
        finally:
            del self._watched[process_id]
            self.on_change(process_id)

    async def _until_decided(self, process_id: str) -> bool:
        """Wait until something happens, and do what is to follow; false when nothing will."""
        try:
            found = await self._look_up(process_id)
            if found is None:
                return False
            process, known, run = found
            if run is None or known.decided == run.id:
                return False
            if known.run_id != run.id:
                await self._supervision.note_start(known, run.id)
            elif run.status.final:
                await self._follow(process, known, run)
            else:
                await self._until_over_or_changed(known, run)
        except OvertakenError:
            log.debug("process %s: somebody else was faster", process_id)
        except (StorageUnavailableError, QueueFullError) as error:
            log.warning("process %s: %s; trying again", process_id, error.detail)
            await asyncio.sleep(TRY_AGAIN)
        return True

    async def _look_up(self, process_id: str) -> tuple[Process, Supervision, Run | None] | None:
        """A process with what is known of it and its latest run, if this server looks after it."""
        managed = await self._managed.get(process_id)
        if managed is None or managed.known is None or managed.known.owner != own_identity():
            return None
        return managed.process, managed.known, managed.run

    async def _until_over_or_changed(self, known: Supervision, run: Run) -> None:
        changed, over = self._watched[known.process_id], self._engine.over(run)
        changed.clear()
        waiting: list[asyncio.Task[bool]] = [
            asyncio.create_task(changed.wait()),
            asyncio.create_task(over.wait()),
        ]
        if known.ending_of(run.id) is not None:  # the server that was at it is gone
            waiting.append(asyncio.create_task(self._stopped(run)))
        elif known.plan.health is not None:
            waiting.append(asyncio.create_task(self._look_after(known, known.plan.health, run)))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()

    async def _stopped(self, run: Run) -> bool:
        await self._engine.stop(run)
        return True

    async def _follow(self, process: Process, known: Supervision, run: Run) -> None:
        """Do what the plan says now that a run is over."""
        step = decide(known, run)
        if isinstance(step, Stay):
            await self._supervision.settle(known, run.id, step)
            if step.gave_up:
                log.warning(
                    "process %s (%s) gave up after %s restarts in a row",
                    run.name, known.process_id, known.failures,
                )  # fmt: skip
            return
        following = _delayed(run_of(process), step, _how(known, run))
        commit = partial(self._supervision.follow, after=run.id, failures=step.failures)
        # Once it is committed it must be in the queue, too, whoever is in a hurry to end.
        await asyncio.shield(self._background.start(self._engine.submit(following, commit)))
        self.restarts += 1
        log.info("process %s (%s): %s", run.name, known.process_id, following.reason)

    async def _look_after(self, known: Supervision, check: HealthCheck, run: Run) -> bool:
        """Check the health of a process while it runs, and end it when it is past help."""
        while run.status is RunStatus.QUEUED:
            run = await self._engine.until_started(run)
            await asyncio.sleep(TRY_AGAIN if run.status is RunStatus.QUEUED else 0)
        managed = await self._managed.get(known.process_id)
        if managed is None:
            return True
        process = managed.process
        checkup = Checkup(self._prober, process, check, partial(self._note_health, process.id))
        why = await checkup.until_unhealthy(known.health)
        while known.plan.restart is Restart.NO:  # nobody would start it again
            why = await checkup.until_unhealthy(Health.UNHEALTHY)
        log.warning("process %s (%s) is unhealthy: %s", process.name, process.id, why)
        await self._supervision.end_for(process.id, run.id, Ending.UNHEALTHY, own_identity())
        await self._engine.stop(run, reason=f"unhealthy: {why}")
        return True

    async def _note_health(self, process_id: str, health: Health, detail: str | None) -> None:
        with contextlib.suppress(StorageUnavailableError):
            await self._supervision.note_health(process_id, health, detail)
        self.on_change(process_id)

    async def _take_up(self, process_id: str) -> None:
        """Go on with a process, or start it with the server, unless somebody has stopped it."""
        found = await self._look_up(process_id)
        if found is None:
            return
        _, known, run = found
        if run is not None and not run.status.final:
            run = await self._engine.until_started(run)  # or found to be over
        if known.plan.autostart and (run is None or run.status.final):
            await self._until_decided(process_id)  # what has ended meanwhile is the plan's first
            await self._autostart(process_id)
        self.watch(process_id)

    async def _autostart(self, process_id: str) -> None:
        found = await self._look_up(process_id)
        if found is None:
            return
        process, known, _ = found
        if known.wanted is Wanted.STOPPED:
            return
        with contextlib.suppress(OvertakenError):  # it runs already
            await self.begin(process)
            log.info("process %s (%s) was started with the server", process.name, process.id)

    async def _look_around(self) -> None:
        """Notice processes that somebody else has started: the old stack, or another server."""
        version: object = None
        while True:
            await asyncio.sleep(ROUND)
            before, version = version, self._version()
            if version is not None and version == before:
                continue
            try:
                for process_id in await self._supervision.undecided(own_identity()):
                    if process_id not in self._watched:
                        self.watch(process_id)
            except StorageUnavailableError as error:
                version = None
                log.warning("processes are not looked after for now: %s", error.detail)


def run_of(process: Process) -> Run:
    """A run of a process, as it is described now."""
    return Run(
        id=new_id(),
        kind=RunKind.PROCESS,
        name=process.name,
        command=process.command,
        process_id=process.id,
        created_at=time.time(),
        args=process.args,
        env=process.environment,
        cwd=process.working_dir,
    )


def _delayed(run: Run, step: Again, reason: str) -> Run:
    if not step.delay:
        return run.but(reason=reason)
    # The queue waits at most 1.5 times as long as a retry may, should the clock jump back.
    options = RunOptions(retry=Retry(delay=step.delay, factor=1.0, longest=step.delay))
    reason = f"{reason}; restart {step.failures} in a row in {step.delay:g} seconds"
    return run.but(not_before=run.created_at + step.delay, reason=reason, options=options)


def _how(known: Supervision, run: Run) -> str:
    """How a run ended, in a few words."""
    if known.ending_of(run.id) is Ending.RESTART:
        return "restarted"
    if run.reason:
        return run.reason
    if run.returncode is not None and run.returncode < 0:
        return f"ended by signal {-run.returncode}"
    return f"ended with exit code {run.returncode}"


def _nothing(_process_id: str) -> None:
    """What is called while nobody wants to know."""
