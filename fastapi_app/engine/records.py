"""Writes down what happens to runs, for as long as it takes the database to take it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi_app.engine.active import Active
from fastapi_app.engine.identity import boot_id, own_identity
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import mask_of
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.models import Run, RunStatus, Stream
from fastapi_app.storage.runs import RunStore

T = TypeVar("T")
log = logging.getLogger(__name__)

RETRY_STORAGE = 0.5
"""Seconds between attempts while the database does not answer."""


class Records:
    """The fate of runs: what happened to one must not get lost."""

    def __init__(self, runs: RunStore, logs: LogFiles) -> None:
        self._runs = runs
        self._logs = logs

    async def stopped_meanwhile(self, run: Run) -> bool:
        """Whether somebody else has stopped a run that waits, or removed it."""
        stored = await persist(run.id, lambda: self._runs.get(run.id))
        return stored is None or stored.stop_requested or stored.status.final

    async def begun(self, run: Run) -> bool:
        """Commit that this server is about to start a run; false when it is not its to start."""
        return await persist(run.id, lambda: self._runs.begin(run.id, own_identity(), boot_id()))

    async def started(self, run: Run) -> bool:
        """Commit that a run has come to run."""
        return await persist(run.id, lambda: self._runs.mark_started(run))

    async def requeued(self, run: Run) -> bool:
        """Commit that a run waits for its next attempt; false when it is to be stopped."""
        return await persist(run.id, lambda: self._runs.requeue(run))

    async def ended(self, active: Active, ended: Run) -> Run:
        """Commit the end of a run, unless somebody did before; returns it as it is stored."""
        final = self.final(active, ended)
        return await persist(final.id, lambda: self._runs.finish(final))

    async def concluded(self, active: Active, ended: Run) -> Run:
        """Commit the end of a run that a client waited for, once its row is there.

        Returns the run as it is stored.
        """
        final, added = self.final(active, ended), active.added
        if added is None:
            raise AssertionError("only a run that was added can end")
        await asyncio.wait((added.done,))
        if added.done.exception() is None:
            return await persist(final.id, lambda: self._runs.finish(final))
        await persist(final.id, lambda: self._runs.add(final))
        return final

    def final(self, active: Active, ended: Run) -> Run:
        """The ended run as it is committed, with how much it has printed."""
        out = self._logs.size(ended.id, Stream.STDOUT)
        err = self._logs.size(ended.id, Stream.STDERR)
        if ended.options.secrets and ended.reason:
            ended = ended.but(reason=mask_of(ended).text(ended.reason))
        return ended.but(
            status=RunStatus.CANCELLED if active.stopping else ended.status,
            stop_requested=active.stopping,
            finished_at=ended.finished_at or time.time(),
            stdout_bytes=out,
            stderr_bytes=err,
            truncated=bool(out or err) and self._logs.is_cut(ended.id),
        )


async def persist(run_id: str, write: Callable[[], Awaitable[T]]) -> T:
    """The result of `write`, tried until the database takes it."""
    while True:
        try:
            return await write()
        except StorageUnavailableError as error:
            log.warning("run %s: %s; trying again", run_id, error.detail)
            await asyncio.sleep(RETRY_STORAGE)
