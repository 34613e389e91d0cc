"""When an accepted run may start: after those it waits for, when due, when a slot is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from fastapi_app.engine import outcome
from fastapi_app.engine.active import Active
from fastapi_app.engine.background import Background
from fastapi_app.engine.dependencies import Dependencies, Verdict, Waiting
from fastapi_app.engine.elsewhere import set_when_over
from fastapi_app.engine.queue import Queue
from fastapi_app.engine.records import persist
from fastapi_app.errors import GroupNotFoundError, QueueFullError
from fastapi_app.models import Run, RunStatus
from fastapi_app.storage.runs import RunStore


class Admission:
    """Calls `launch` for each run whose turn has come, and `skip` for one whose never will."""

    def __init__(
        self,
        *,
        queue: Queue,
        most_waiting: int,
        runs: RunStore,
        background: Background,
        active: Mapping[str, Active],
        launch: Callable[[Active], None],
        skip: Callable[[Active, str], None],
    ) -> None:
        self.queue = queue
        self._most_waiting = most_waiting
        self._runs = runs
        self._background = background
        self._active = active
        self._launch = launch
        self._skip = skip
        self._dependencies = Dependencies()
        self._entering = 0
        self._timers = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many runs wait, for whatever."""
        return self._entering + self._timers + self.queue.waiting + len(self._dependencies)

    @property
    def room(self) -> int:
        """How many more may wait."""
        return self._most_waiting - self.waiting

    def require_room(self, run: Run, runs: int = 1) -> None:
        """Make sure that so many more runs may wait.

        Raises:
            GroupNotFoundError: there is no such group.
            QueueFullError: too many wait already.
        """
        if self.queue.group(run.group) is None:
            raise GroupNotFoundError(run.group)
        if self.waiting + runs > self._most_waiting:
            raise QueueFullError(self.waiting)

    def reserve(self, runs: int) -> None:
        """Count runs that are about to enter, or no longer are (negative)."""
        self._entering += runs

    def enter(self, active: Active) -> None:
        """Let an accepted run wait for its turn."""
        run = active.run
        if run.options.after and run.attempt == 1:
            self._background.start(self._look_up(self._dependencies.add(run)))
        elif (delay := outcome.due_in(run)) > 0:
            loop = asyncio.get_running_loop()
            active.timer = loop.call_later(delay, self._on_due, active)
            self._timers += 1
        else:
            self._line_up(active)

    async def slot(self, active: Active) -> None:
        """Wait for a slot for a run that a client waits for; give it back with `release`.

        Raises:
            GroupNotFoundError, QueueFullError: as `require_room`.
        """
        run = active.run
        if self.queue.group(run.group) is not None and self.queue.try_take(run.group):
            return
        self.require_room(run)
        active.turn = asyncio.get_running_loop().create_future()
        self.queue.push(run)
        try:
            await active.turn
        except asyncio.CancelledError:
            if active.turn.cancelled():
                self.queue.discard(run.id)
            else:
                self.release(run)
            raise

    def release(self, run: Run) -> None:
        """Give the slot of a run back, and hand it out again."""
        self.queue.release(run.group)
        self.dispatch()

    def close(self) -> None:
        """Start nothing any more."""
        self._closed = True
        for active in self._active.values():
            if active.timer is not None:
                active.timer.cancel()

    def leave(self, active: Active) -> None:
        """Let a run wait no more."""
        self.queue.discard(active.run.id)
        self._dependencies.discard(active.run.id)
        if active.timer is not None:
            active.timer.cancel()
            active.timer = None
            self._timers -= 1

    def dispatch(self) -> None:
        """Hand out the slots that are free."""
        if self._closed:
            return
        for run_id in self.queue.take():
            active = self._active[run_id]
            if active.turn is None:
                self._launch(active)
            elif active.turn.cancelled():
                self.queue.release(active.run.group)
            else:
                active.turn.set_result(None)

    def ended(self, run: Run) -> None:
        """Tell those that wait for `run` how it ended."""
        for waiting in self._dependencies.ended(run):
            active = self._active[waiting.run.id]
            if waiting.verdict() is Verdict.START:
                self._line_up(active, waited=True)
            else:
                self._skip(active, waiting.why_skipped())

    def _on_due(self, active: Active) -> None:
        active.timer = None
        self._timers -= 1
        self._line_up(active, waited=True)

    def _line_up(self, active: Active, *, waited: bool = False) -> None:
        self.queue.push(active.run)
        self.dispatch()
        active.waited = waited or active.run.id in self.queue

    async def _look_up(self, waiting: Waiting) -> None:
        """Take those into account that ended before anybody waited for them."""
        wanted = list(waiting.pending)
        stored = await persist(waiting.run.id, lambda: self._runs.by_id(wanted))
        for run_id in wanted:
            run = stored.get(run_id)
            if run is None:  # removed since: nobody can tell how it ended
                self.ended(Run(run_id, waiting.run.kind, "", 0.0, status=RunStatus.LOST))
            elif run.status.final:
                self.ended(run)
            elif run_id not in self._active:
                self._background.start(self._ended_elsewhere(run))

    async def _ended_elsewhere(self, run: Run) -> None:
        run_id = run.id
        while not run.status.final:
            over = asyncio.Event()
            await set_when_over(self._runs, run, over)
            stored = await persist(run_id, lambda: self._runs.get(run_id))
            run = stored or run.but(status=RunStatus.LOST)
        self.ended(run)
