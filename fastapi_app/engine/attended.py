"""Runs that a client waits for: spawned, watched and concluded with as little as that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from fastapi_app.engine import outcome
from fastapi_app.engine.active import Active
from fastapi_app.engine.attempts import Attempts
from fastapi_app.engine.background import Background
from fastapi_app.engine.process import Spawned
from fastapi_app.engine.records import Records
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Run
from fastapi_app.storage.runs import RunStore

log = logging.getLogger(__name__)

CONCLUDE_WITHIN = 2.0
"""Seconds a client waits for the commit of an end that the engine will commit in any case."""


class Attended:
    """Runs whose row comes with their end. `forget` is called once a run is settled."""

    def __init__(
        self,
        *,
        runs: RunStore,
        records: Records,
        attempts: Attempts,
        background: Background,
        forget: Callable[[Active], None],
    ) -> None:
        self._runs = runs
        self._records = records
        self._attempts = attempts
        self._background = background
        self._forget = forget

    async def run(self, active: Active, on_start: Callable[[Run], None] | None) -> Run:
        """From the slot to the end; when this is cancelled the command is ended."""
        try:
            spawning = self._attempts.spawn(active, durable=False)
        except SpawnFailedError as error:
            return await self._record_refusal(active, error)
        try:
            active.spawned = await asyncio.shield(spawning)
            active.run = outcome.started(active.run, active.spawned)
            active.added = self._runs.add_running(active.run)
            if active.stopping:  # asked to stop while the child was being started
                self._attempts.stop(active)
            if on_start is not None:
                # Whoever learns the id may look the run up at once.
                self._runs.hasten(active.added)
                await asyncio.wait({active.added.done}, timeout=CONCLUDE_WITHIN)
                on_start(active.run)
            ended = await self._attempts.until_over(active)
        except asyncio.CancelledError:
            self._background.start(self._abandon(active, spawning))
            raise
        except SpawnFailedError as error:
            return await self._record_refusal(active, error)
        return await self._conclude(active, ended)

    async def _conclude(self, active: Active, ended: Run) -> Run:
        """Commit the end of an attended run; the caller gets it even when that takes too long."""
        final, added = self._records.final(active, ended), active.added
        if added is None:
            raise AssertionError("only a run that was added can end")
        # The command has run: whatever becomes of the caller, this goes on. And an error now would
        # make clients run it once more.
        committing: asyncio.Future[Any] | None = self._runs.conclude(added, final)
        if committing is None:
            committing = self._background.start(self._commit_end(active, ended))
        else:
            committing.add_done_callback(lambda done: self._on_concluded(active, final, done))
        await asyncio.wait((committing,), timeout=CONCLUDE_WITHIN)
        if not active.over.is_set():
            log.warning("run %s: its end is not committed yet", ended.id)
            return final
        return active.run

    def _on_concluded(self, active: Active, final: Run, done: asyncio.Future[bool | None]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._background.start(self._commit_end(active, final))
            return
        active.run = final
        self._forget(active)

    async def _commit_end(self, active: Active, ended: Run) -> Run:
        active.run = await self._records.concluded(active, ended)
        self._forget(active)
        return active.run

    async def _record_refusal(self, active: Active, error: SpawnFailedError) -> Run:
        active.run = self._records.final(active, outcome.refused(active.run, error))
        await self._runs.add(active.run)
        self._forget(active)
        return active.run

    async def _abandon(self, active: Active, spawning: asyncio.Future[Spawned]) -> None:
        """Nobody waits for this run any more: end it, and write down that it was."""
        active.stopping = True
        try:
            active.spawned = await spawning
        except SpawnFailedError as error:
            await self._record_refusal(active, error)
            return
        if active.added is None:
            active.run = outcome.started(active.run, active.spawned)
            active.added = self._runs.add_running(active.run)
        self._attempts.stop(active)
        ended = await self._attempts.until_over(active)
        await self._commit_end(active, ended.but(reason="the client left"))
