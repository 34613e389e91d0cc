"""The embedded engine: runs commands on this machine, and finds them again after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from signal import Signals

from fastapi_app.engine import outcome
from fastapi_app.engine.active import Active
from fastapi_app.engine.admission import Admission
from fastapi_app.engine.attempts import Attempts
from fastapi_app.engine.attended import CONCLUDE_WITHIN, Attended
from fastapi_app.engine.background import Background
from fastapi_app.engine.documents import Documents
from fastapi_app.engine.elsewhere import set_when_over, signal_elsewhere, written_down
from fastapi_app.engine.identity import is_alive, own_identity, owner_is_alive
from fastapi_app.engine.launch import Scripts
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import AlreadyStartedError, Spawner
from fastapi_app.engine.queue import Queue
from fastapi_app.engine.records import Records
from fastapi_app.engine.stopping import StopOrder
from fastapi_app.engine.traces import Trace
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Group, Run, RunStatus
from fastapi_app.storage.runs import RunStore

log = logging.getLogger(__name__)

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
        self._active: dict[str, Active] = {}
        self._background = Background()
        self._records = Records(runs, logs)
        self._attempts = Attempts(
            spawner=spawner, logs=logs, scripts=scripts, background=self._background, grace=grace
        )
        self._attended = Attended(
            runs=runs,
            records=self._records,
            attempts=self._attempts,
            background=self._background,
            forget=self._forget,
        )
        self._documents = Documents(
            records=self._records,
            logs=logs,
            background=self._background,
            settle=self._settle,
            stop=self._stop_step,
        )
        self.queue = Queue(max_running)
        self._admission = Admission(
            queue=self.queue,
            most_waiting=max_queued,
            runs=runs,
            background=self._background,
            active=self._active,
            launch=self._launch,
            skip=self._skip,
        )

    async def start(self, groups: Iterable[Group] = ()) -> None:
        """Start the spawn helper and take up every run an earlier server left."""
        self.queue.set_groups(groups)
        await self._spawner.start()
        found = [run for run in await self._runs.unfinished() if not owner_is_alive(run.owner)]
        await self._runs.adopt([run.id for run in found], own_identity())
        # Every one is known before the first can end: others may wait for it.
        left = [self._watch(run.but(owner=own_identity())) for run in found]
        for active in left:
            # Another server may be taking it over at this moment.
            active.fenced = active.run.status is RunStatus.QUEUED
            if active.run.options.steps:
                self._documents.watch(active, await self._runs.steps(active.run.id))
        for active in left:
            self._background.start(self._recover(active))

    async def aclose(self) -> None:
        """End what clients wait for, and stop watching: the rest goes on without the server.

        The next server finds it again.
        """
        self._admission.close()
        attended = [a.run for a in self._active.values() if a.attended and a.launched]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._attempts.grace + CONCLUDE_WITHIN):
                stopping = [self.stop(run, reason="the server ended") for run in attended]
                await asyncio.gather(*stopping, return_exceptions=True)
        await self._background.aclose()
        await self._spawner.aclose()

    async def submit(
        self,
        run: Run,
        commit: Callable[[Run], Awaitable[object]] | None = None,
        *,
        fenced: bool = False,
    ) -> Run:
        """Accept a run: when this returns it is committed and will run, come what may.

        `commit` writes it down in a transaction of its own; what that raises is passed on. A
        `fenced` one may be taken over by another server, should this one end before it starts.

        Raises:
            GroupNotFoundError: there is no such group.
            QueueFullError: too many runs wait already.
        """
        self._admission.require_room(run)
        run = run.but(owner=own_identity())
        active = self._watch(run, fenced=fenced)
        self._admission.reserve(1)
        try:
            await (commit or self._runs.add)(run)
        except BaseException:
            self._forget(active)
            raise
        finally:
            self._admission.reserve(-1)
        self._admission.enter(active)
        return run

    async def submit_document(self, run: Run, steps: Sequence[Run], *, fenced: bool = False) -> Run:
        """Accept a run and its steps, all or none; each starts when those it needs are over.

        `fenced` is as of `submit`.

        Raises:
            GroupNotFoundError: it or a step names a group there is none of.
            QueueFullError: too many runs wait already.
        """
        for each in (run, *steps):
            self._admission.require_room(each, len(steps))
        run, *steps = (each.but(owner=own_identity()) for each in (run, *steps))
        self._admission.reserve(len(steps))
        try:
            await self._runs.add_together([run, *steps])
        finally:
            self._admission.reserve(-len(steps))
        self._enter_document(run, steps, fenced=fenced)
        return run

    async def take_over(self, run: Run, steps: Sequence[Run]) -> bool:
        """Take a queued run, with its steps, from a server that has ended; false when it has begun.

        It is nobody else's then, and waits for its turn here.
        """
        mine = own_identity()
        if not await self._runs.take_over(run.id, 1 + len(steps), run.owner, mine):
            return False
        run = run.but(owner=mine)
        if run.options.steps:
            self._enter_document(run, [step.but(owner=mine) for step in steps], fenced=True)
        else:
            self._admission.enter(self._watch(run, fenced=True))
        return True

    async def attend(self, run: Run, on_start: Callable[[Run], None] | None = None) -> Run:
        """Run while the caller waits, and return the ended run. A caller that leaves ends it.

        `on_start` is called as soon as the child runs. Others see the run while it runs; it is
        committed when this returns. A command the operating system refuses to start comes back
        as failed, with the reason and the return code a shell would give.

        Raises:
            GroupNotFoundError, QueueFullError: as `submit`.
        """
        active = self._watch(run)
        active.attended = True
        try:
            await self._admission.slot(active)
            try:
                return await self._attended.run(active, on_start)
            finally:
                self._admission.release(run)
        finally:
            # Once launched, whoever settles the run forgets it.
            if not active.launched:
                self._forget(active)

    async def stop(
        self, run: Run, order: StopOrder | None = None, *, reason: str | None = None
    ) -> tuple[Run, Signals | None]:
        """Stop a run, whoever started it; returns it once it is over, and what ended it.

        The signals of the order go to the whole group; without one SIGTERM, and SIGKILL after the
        grace period. The signal is `None` when the run was over already or had not started yet.
        """
        if run.status.final:
            return run, None
        order = order or StopOrder.of(self._attempts.grace)
        await self._runs.request_stop(run.id, reason)
        active = self._active.get(run.id)
        if active is None:
            return await self._stop_elsewhere(run, order)
        already, active.stopping = active.stopping, True
        if run.id in self._documents:
            await self._documents.stop_steps(run.id)
        elif not active.launched:
            await self._settle(active, active.run.but(status=RunStatus.CANCELLED))
        elif len(order.signals) == 1 or not already:
            self._attempts.stop(active, order)
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

    def abandon(self, run: Run) -> None:
        """Stop a run that nobody waits for any more, in the background."""
        self._background.start(self.stop(run, reason="the client left"))

    @property
    def room(self) -> int:
        """How many more runs may wait."""
        return self._admission.room

    def change_group(self, group: Group) -> None:
        """Let a group's slots and pause hold from now on; what runs already goes on."""
        self.queue.set_groups([group])
        self._admission.dispatch()

    def stop_order(
        self, *, interrupt: bool = False, kill: bool = False, grace: float | None = None
    ) -> StopOrder:
        """How to stop a run; the grace period is the setting's without one."""
        seconds = self._attempts.grace if grace is None else grace
        return StopOrder.of(seconds, interrupt=interrupt, kill=kill)

    def _enter_document(self, run: Run, steps: Sequence[Run], *, fenced: bool) -> None:
        active = self._watch(run)
        watched = [self._watch(step, fenced=fenced) for step in steps]
        self._documents.watch(active, steps)
        for entering in watched:
            self._admission.enter(entering)

    def _watch(self, run: Run, *, fenced: bool = False) -> Active:
        active = Active(run, stopping=run.stop_requested, fenced=fenced)
        self._active[run.id] = active
        return active

    def _forget(self, active: Active) -> None:
        run = active.run
        self._active.pop(run.id, None)
        self._documents.forget(run.id)
        self._admission.leave(active)
        if run.command_id is not None:
            self._scripts.remove(run.id)
        active.started.set()
        active.over.set()
        if run.status.final:
            self._admission.ended(run)
            self._documents.step_ended(run)

    def _launch(self, active: Active) -> None:
        self._background.start(self._drive(active))

    async def _drive(self, active: Active) -> None:
        """Take an accepted run from its slot to the end of this attempt."""
        try:
            if active.waited and await self._records.stopped_meanwhile(active.run):
                await self._settle(active, active.run.but(status=RunStatus.CANCELLED))
            elif active.fenced and not await self._records.begun(active.run):
                await self._let_go(active)
            elif not active.stopping:
                await self._run_launched(active)
        except SpawnFailedError as error:
            with contextlib.suppress(OSError):  # what refused the child may refuse this too
                self._logs.complain(active.run.id, error.detail)
            await self._settle(active, outcome.refused(active.run, error))
        except AlreadyStartedError:
            await self._take_up(active, self._attempts.trace(active.run))
        finally:
            self._admission.release(active.run)

    async def _let_go(self, active: Active) -> None:
        """Watch a run no more that was stopped, or that another server has taken over."""
        stored = await self._runs.get(active.run.id)
        if not active.over.is_set():
            active.run = stored or active.run
            self._forget(active)

    async def _run_launched(self, active: Active) -> None:
        active.spawned = await asyncio.shield(self._attempts.spawn(active, durable=True))
        active.run = outcome.started(active.run, active.spawned)
        marking = asyncio.ensure_future(self._records.started(active.run))
        marking.add_done_callback(lambda _: active.started.set())
        self._documents.step_started(active.run)
        if active.stopping:  # asked to stop while the child was being started
            self._attempts.stop(active)
        ended = await self._attempts.until_over(active)
        await marking
        await self._end_attempt(active, ended)

    async def _end_attempt(self, active: Active, ended: Run) -> None:
        """Let the run wait for its next attempt, or settle it."""
        again = None if active.stopping else outcome.next_attempt(active.run, ended)
        if again is None or not await self._records.requeued(again):
            await self._settle(active, ended)
            return
        active.run, active.spawned, active.launched = again, None, False
        if active.stopping:  # asked to stop just now, and thought to be on its way
            await self._settle(active, again.but(status=RunStatus.CANCELLED))
        else:
            self._admission.enter(active)

    async def _settle(self, active: Active, ended: Run) -> None:
        """Commit the end of a run; whoever commits first decides."""
        active.run = await self._records.ended(active, ended)
        self._forget(active)

    def _skip(self, active: Active, reason: str) -> None:
        skipped = active.run.but(status=RunStatus.CANCELLED, reason=reason)
        self._background.start(self._settle(active, skipped))

    async def _stop_elsewhere(self, run: Run, order: StopOrder) -> tuple[Run, Signals | None]:
        """Stop a run that another server watches."""
        used = await signal_elsewhere(run, order.grace, order.signals)
        # Its watcher saw the exit code; only when it does not write it down do we.
        if owner_is_alive(run.owner) and (stored := await written_down(self._runs, run)):
            return stored, used
        ended = run.but(status=RunStatus.CANCELLED, returncode=-int(used) if used else None)
        active = Active(ended, stopping=True)
        await self._settle(active, ended)
        return active.run, used

    async def _stop_step(self, run_id: str) -> None:
        if (active := self._active.get(run_id)) is None:
            return
        if not active.launched:  # others ending must not let it start meanwhile
            active.stopping = True
        await self.stop(active.run)

    async def _recover(self, active: Active) -> None:
        """Find out what became of a run whose server is gone, and take it from there."""
        run = active.run
        if run.options.steps:
            if active.stopping:
                await self._documents.stop_steps(run.id)
            return
        trace = self._attempts.trace(run)
        if run.status is not RunStatus.QUEUED or trace is not None:
            self.queue.occupy(run.group)
            try:
                await self._take_up(active, trace)
            finally:
                self._admission.release(run)
        elif active.stopping:
            await self._settle(active, run.but(status=RunStatus.CANCELLED))
        else:
            self._admission.enter(active)

    async def _take_up(self, active: Active, trace: Trace | None) -> None:
        """Watch an attempt that an earlier server started, or find out how it ended."""
        run = active.run
        active.launched = True
        if run.status is RunStatus.QUEUED and outcome.came_to_run(trace):
            run = active.run = outcome.found_started(run, trace or Trace())
            await self._records.started(run)
        if not is_alive(run.pid, run.pid_started, run.boot_id):
            await self._end_attempt(active, await self._attempts.as_traced(run))
            return
        log.info("run %s still runs as pid %s; watching it again", run.id, run.pid)
        active.started.set()
        self._documents.step_started(run)
        if active.stopping:
            self._attempts.stop(active)
        await self._end_attempt(active, await self._attempts.until_adopted_over(active))
