"""One attempt of a run: spawned, watched to its end, stopped when its time is up."""

from __future__ import annotations

import asyncio
import signal
import time

from fastapi_app.engine import outcome
from fastapi_app.engine.active import Active
from fastapi_app.engine.background import Background
from fastapi_app.engine.elsewhere import final_trace, watch_adopted
from fastapi_app.engine.launch import Scripts, launch_of
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import NOT_EXECUTABLE, Spawned, Spawner
from fastapi_app.engine.stopping import StopOrder, terminate, until_all_gone
from fastapi_app.engine.traces import Trace, read_trace
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Run, RunStatus


class Attempts:
    """Children of this server, and those an earlier one left. `grace` is seconds."""

    def __init__(
        self,
        *,
        spawner: Spawner,
        logs: LogFiles,
        scripts: Scripts,
        background: Background,
        grace: float,
    ) -> None:
        self._spawner = spawner
        self._logs = logs
        self._scripts = scripts
        self._background = background
        self.grace = grace

    def spawn(self, active: Active, *, durable: bool) -> asyncio.Future[Spawned]:
        """Ask for the child; `durable` keeps a trace of it beside the log.

        The helper starts it whether or not the caller goes on: shield the future.

        Raises:
            SpawnFailedError: at once or from the future: it cannot be started.
            AlreadyStartedError: from the future: this attempt has been started before.
        """
        try:
            launch = launch_of(active.run, self._logs, self._scripts, durable=durable)
        except OSError as error:  # a name that is too long, a folder that cannot be read
            detail = f"{error.filename}: {error.strerror}"
            raise SpawnFailedError(detail, NOT_EXECUTABLE) from error
        active.launched = True
        return self._spawner.spawn(active.run.id, launch)

    def stop(self, active: Active, order: StopOrder | None = None) -> None:
        """Begin to stop it: softly, unless ordered otherwise, now or before.

        While it is being started there is nobody to signal: call this once it has been.
        """
        active.order = order or active.order or StopOrder.of(self.grace)
        if active.run.pid is not None:
            self._background.start(terminate(active, active.order, self._spawner))

    def trace(self, run: Run) -> Trace | None:
        """What the helper wrote down about this attempt."""
        return read_trace(self._logs.state(run.id, run.attempt))

    async def until_over(self, active: Active) -> Run:
        """Wait for the end of a child of ours, at most for the run's time-out."""
        run, spawned = active.run, active.spawned
        if spawned is None:
            raise AssertionError("only a started run can be waited for")
        await asyncio.wait((spawned.exited,), timeout=run.timeout)
        timed_out = not spawned.exited.done()
        if timed_out:
            self._spawner.signal(run.id, signal.SIGKILL)
            await asyncio.wait((spawned.exited,))
        code = spawned.exited.result()
        if code is None:  # the helper died; the child may live
            await watch_adopted(run)
        seconds = time.monotonic() - spawned.asked_at
        if active.stopping or timed_out:
            await until_all_gone(run, active.kill_at)
        return outcome.ended(run, code, seconds, timed_out=timed_out)

    async def until_adopted_over(self, active: Active) -> Run:
        """Wait for the end of a child that an earlier server asked for."""
        await watch_adopted(active.run)
        ended = await self.as_traced(active.run)
        if active.stopping or ended.status is RunStatus.TIMED_OUT:
            await until_all_gone(active.run, active.kill_at)
        return ended

    async def as_traced(self, run: Run) -> Run:
        """The end of a run as its helper wrote it down."""
        return outcome.from_trace(run, await final_trace(self._logs, run))
