"""The embedded engine: runs commands on this machine, and finds them again after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi_app.engine import outcome
from fastapi_app.engine.active import Active
from fastapi_app.engine.background import Background
from fastapi_app.engine.elsewhere import (
    final_trace,
    set_when_over,
    signal_elsewhere,
    watch_adopted,
    written_down,
)
from fastapi_app.engine.identity import is_alive, own_identity, owner_is_alive
from fastapi_app.engine.launch import Scripts, launch_of
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import (
    AlreadyStartedError,
    Spawned,
    Spawner,
    signal_group,
    until_group_gone,
)
from fastapi_app.engine.traces import Trace, read_trace
from fastapi_app.errors import QueueFullError, SpawnFailedError, StorageUnavailableError
from fastapi_app.models import Run, RunStatus, Stream
from fastapi_app.storage.runs import RunStore

log = logging.getLogger(__name__)

RETRY_STORAGE = 0.5
"""Seconds between attempts to write down how a run ended while the database does not answer."""
CONCLUDE_WITHIN = 2.0
"""Seconds a client waits for the commit of an end that the engine will commit in any case."""
START_WITHIN = 5.0
"""Seconds a caller waits for a slot to become free before it is told that the run is queued."""


class EmbeddedEngine:
    """Queue, spawn, watch, stop, recover."""

    def __init__(
        self,
        *,
        runs: RunStore,
        spawner: Spawner,
        logs: LogFiles,
        scripts: Scripts,
        max_running: int,
        max_queued: int,
        grace: float,
    ) -> None:
        self._runs = runs
        self._spawner = spawner
        self._logs = logs
        self._scripts = scripts
        self._slots = asyncio.Semaphore(max_running)
        self._max_queued = max_queued
        self._waiting = 0
        self._grace = grace
        self._active: dict[str, Active] = {}
        self._background = Background()

    async def start(self) -> None:
        """Start the spawn helper and take up every run an earlier server left."""
        await self._spawner.start()
        for run in await self._runs.unfinished():
            if not owner_is_alive(run.owner):
                self._background.start(self._recover(run))

    async def aclose(self) -> None:
        """End what clients wait for, and stop watching: the rest goes on without the server.

        The next server finds it again.
        """
        attended = [a.run for a in self._active.values() if a.attended and a.launched]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace + CONCLUDE_WITHIN):
                stopping = [self.stop(run, reason="the server ended") for run in attended]
                await asyncio.gather(*stopping, return_exceptions=True)
        await self._background.aclose()
        await self._spawner.aclose()

    async def submit(self, run: Run) -> Run:
        """Accept a run: when this returns it is committed and will run, come what may.

        Raises:
            QueueFullError: too many runs wait already.
        """
        if self._waiting >= self._max_queued:
            raise QueueFullError(self._waiting)
        run = replace(run, owner=own_identity())
        active = self._watch(run)
        self._waiting += 1
        try:
            await self._runs.add(run)
        except BaseException:
            self._waiting -= 1
            self._forget(active)
            raise
        self._background.start(self._drive(active))
        return run

    async def attend(self, run: Run, on_start: Callable[[Run], None] | None = None) -> Run:
        """Run while the caller waits, and return the ended run. A caller that leaves ends it.

        `on_start` is called as soon as the child runs. Others see the run while it runs; it is
        committed when this returns. A command the operating system refuses to start comes back
        as failed, with the reason and the return code a shell would give.
        """
        active = self._watch(run)
        active.attended = True
        try:
            async with self._slots:
                return await self._attend(active, on_start)
        finally:
            # Once launched, whoever settles the run forgets it.
            if not active.launched:
                self._forget(active)

    async def stop(
        self, run: Run, *, kill: bool = False, reason: str | None = None
    ) -> tuple[Run, signal.Signals | None]:
        """Stop a run, whoever started it; returns it once it is over, and what ended it.

        SIGTERM to the whole group first, SIGKILL after the grace period; SIGKILL at once with
        `kill`. The signal is `None` when the run was over already or had not started yet.
        """
        if run.status.final:
            return run, None
        await self._runs.request_stop(run.id, reason)
        active = self._active.get(run.id)
        if active is None:
            return await self._stop_elsewhere(run, kill=kill)
        already, active.stopping = active.stopping, True
        if not active.launched:
            await self._settle(active, replace(active.run, status=RunStatus.CANCELLED))
        elif kill or not already:
            await self._terminate(active, kill=kill)
        await active.over.wait()
        return await self._runs.get(run.id) or active.run, active.signalled

    async def until_started(self, run: Run) -> Run:
        """The run once its child runs (or it is over, or has waited too long for a slot)."""
        active = self._active.get(run.id)
        if active is None:
            return await self._runs.get(run.id) or run
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_WITHIN):
                await active.started.wait()
        return active.run

    def over(self, run: Run) -> asyncio.Event:
        """Set when the run is over, whoever watches it."""
        active = self._active.get(run.id)
        if active is not None:
            return active.over
        event = asyncio.Event()
        if run.status.final:
            event.set()
        else:
            self._background.start(set_when_over(self._runs, run, event))
        return event

    def _watch(self, run: Run) -> Active:
        active = self._active[run.id] = Active(run)
        return active

    def _forget(self, active: Active) -> None:
        self._active.pop(active.run.id, None)
        if active.run.command_id is not None:
            self._scripts.remove(active.run.id)
        active.started.set()
        active.over.set()

    async def _drive(self, active: Active) -> None:
        """Take an accepted run, which counts as waiting, from the queue to its end."""
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            if active.stopping:
                return
            active.launched = True
            await self._run_launched(active)
        except SpawnFailedError as error:
            self._logs.complain(active.run.id, error.detail)
            await self._settle(active, outcome.refused(active.run, error))
        except AlreadyStartedError:
            await self._recover_started(active, read_trace(self._logs.state(active.run.id)))
        finally:
            self._slots.release()

    async def _run_launched(self, active: Active) -> None:
        launch = launch_of(active.run, self._logs, self._scripts, durable=True)
        # The helper starts the child whether or not this task goes on.
        active.spawned = await asyncio.shield(self._spawner.spawn(active.run.id, launch))
        active.run = outcome.started(active.run, active.spawned)
        marking = asyncio.ensure_future(self._persist(self._runs.mark_started, active.run))
        marking.add_done_callback(lambda _: active.started.set())
        if active.stopping:  # asked to stop while the child was being started
            self._background.start(self._terminate(active, kill=False))
        ended = await self._until_over(active)
        await marking
        await self._settle(active, ended)

    async def _attend(self, active: Active, on_start: Callable[[Run], None] | None) -> Run:
        try:
            launch = launch_of(active.run, self._logs, self._scripts, durable=False)
        except SpawnFailedError as error:
            return await self._record_refusal(active, error)
        active.launched = True
        spawning = self._spawner.spawn(active.run.id, launch)
        try:
            active.spawned = await asyncio.shield(spawning)
            active.run = outcome.started(active.run, active.spawned)
            active.added = self._runs.add_running(active.run)
            if on_start is not None:
                # Whoever learns the id may look the run up at once.
                self._runs.hasten(active.added)
                await asyncio.wait({active.added.done}, timeout=CONCLUDE_WITHIN)
                on_start(active.run)
            ended = await self._until_over(active)
        except asyncio.CancelledError:
            self._background.start(self._abandon(active, spawning))
            raise
        except SpawnFailedError as error:
            return await self._record_refusal(active, error)
        return await self._conclude(active, ended)

    async def _conclude(self, active: Active, ended: Run) -> Run:
        """Commit the end of an attended run; the caller gets it even when that takes too long."""
        committing = self._background.start(self._commit_end(active, ended))
        try:
            # The command has run. An error now would make clients run it once more.
            async with asyncio.timeout(CONCLUDE_WITHIN):
                return await asyncio.shield(committing)
        except TimeoutError:
            log.warning("run %s: its end is not committed yet", ended.id)
            return self._final(active, ended)

    async def _commit_end(self, active: Active, ended: Run) -> Run:
        final, added = self._final(active, ended), active.added
        if added is None:
            raise AssertionError("only a run that was added can end")
        try:
            stored = await self._runs.conclude(added, final)
        except StorageUnavailableError:
            missing = added.done.exception() is not None
            await self._persist(self._runs.add if missing else self._runs.finish, final)
            stored = final
        active.run = stored
        self._forget(active)
        return stored

    async def _record_refusal(self, active: Active, error: SpawnFailedError) -> Run:
        active.run = outcome.refused(active.run, error)
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
        self._background.start(self._terminate(active, kill=False))
        ended = await self._until_over(active)
        await self._commit_end(active, replace(ended, reason="the client left"))

    async def _until_over(self, active: Active) -> Run:
        """Wait for the end of a child of ours, at most for the run's time-out."""
        run, spawned = active.run, active.spawned
        if spawned is None:
            raise AssertionError("only a started run can be waited for")
        timed_out = False
        try:
            async with asyncio.timeout(run.timeout):
                code = await asyncio.shield(spawned.exited)
        except TimeoutError:
            timed_out = True
            self._spawner.signal(run.id, signal.SIGKILL)
            code = await asyncio.shield(spawned.exited)
        if code is None:  # the helper died; the child may live
            await watch_adopted(run)
        if active.stopping or timed_out:
            await until_group_gone(active.run.pid or 0, active.kill_at)
        return outcome.ended(run, code, time.monotonic() - spawned.asked_at, timed_out=timed_out)

    async def _settle(self, active: Active, ended: Run) -> Run:
        """Commit the end of a run; whoever commits first decides."""
        stored: Run = await self._persist(self._runs.finish, self._final(active, ended))
        active.run = stored
        self._forget(active)
        return stored

    def _final(self, active: Active, ended: Run) -> Run:
        """The ended run as it is committed, with how much it has printed."""
        return replace(
            ended,
            status=RunStatus.CANCELLED if active.stopping else ended.status,
            stop_requested=active.stopping,
            finished_at=ended.finished_at or time.time(),
            stdout_bytes=self._logs.size(ended.id, Stream.STDOUT),
            stderr_bytes=self._logs.size(ended.id, Stream.STDERR),
        )

    async def _persist(self, write: Callable[[Run], Any], run: Run) -> Any:  # noqa: ANN401
        """Write until the database takes it: what happened to a run must not get lost."""
        while True:
            try:
                return await write(run)
            except StorageUnavailableError as error:
                log.warning("run %s: %s; trying again", run.id, error.detail)
                await asyncio.sleep(RETRY_STORAGE)

    async def _terminate(self, active: Active, *, kill: bool) -> None:
        """SIGTERM, and SIGKILL when the grace period is over."""
        active.kill_at = time.monotonic() + (0 if kill else self._grace)
        if not kill:
            self._signal(active, signal.SIGTERM)
            try:
                async with asyncio.timeout(self._grace):
                    await active.over.wait()
            except TimeoutError:
                kill = True
        if kill and not active.over.is_set():
            self._signal(active, signal.SIGKILL)

    def _signal(self, active: Active, number: signal.Signals) -> None:
        run = active.run
        if active.spawned is not None and not active.spawned.exited.done():
            self._spawner.signal(run.id, number)
        elif not signal_group(run.pid, run.pid_started, run.boot_id, number):
            return
        active.signalled = number

    async def _stop_elsewhere(self, run: Run, *, kill: bool) -> tuple[Run, signal.Signals | None]:
        """Stop a run that another server watches."""
        used = await signal_elsewhere(run, grace=0 if kill else self._grace)
        # Its watcher saw the exit code; only when it does not write it down do we.
        if owner_is_alive(run.owner) and (stored := await written_down(self._runs, run)):
            return stored, used
        ended = replace(run, status=RunStatus.CANCELLED, returncode=-int(used) if used else None)
        return await self._settle(Active(ended, stopping=True), ended), used

    async def _recover(self, run: Run) -> None:
        """Find out what became of a run whose server is gone, and take it from there."""
        active = self._watch(run)
        trace = read_trace(self._logs.state(run.id))
        if run.status is not RunStatus.QUEUED or trace is not None:
            await self._recover_started(active, trace)
        elif run.stop_requested:
            await self._settle(active, replace(run, status=RunStatus.CANCELLED))
        else:
            active.run = replace(run, owner=own_identity())
            await self._runs.adopt(run.id, own_identity())
            self._waiting += 1
            await self._drive(active)

    async def _recover_started(self, active: Active, trace: Trace | None) -> None:
        run = active.run
        active.launched = True
        active.stopping = run.stop_requested
        if run.pid is None and trace is not None and trace.pid is not None:
            run = active.run = outcome.found_started(run, trace)
            await self._persist(self._runs.mark_started, run)
        if is_alive(run.pid, run.pid_started, run.boot_id):
            await self._runs.adopt(run.id, own_identity())
            run = active.run = replace(run, owner=own_identity())
            log.info("run %s still runs as pid %s; watching it again", run.id, run.pid)
            active.started.set()
            await watch_adopted(run)
            if active.stopping:
                await until_group_gone(active.run.pid or 0, active.kill_at)
        await self._settle(active, outcome.from_trace(run, await final_trace(self._logs, run)))
