"""What happens to runs, and what they print, while it happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from fastapi_app.engine.broadcast import Change, Hub, Subscription
from fastapi_app.engine.encoded import Encoded
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import mask_of
from fastapi_app.engine.progress import Progress, ProgressTail
from fastapi_app.engine.tail import Piece
from fastapi_app.errors import RunNotFoundError
from fastapi_app.models import Run, RunKind, RunStatus, Stream, Transition
from fastapi_app.storage.runs import RunStore

__all__ = ["Advance", "Change", "EventFilter", "LiveService", "Piece"]

LOOK = 0.25
"""Seconds between two looks at what a run says of its progress."""


@dataclass(frozen=True, eq=False)
class Advance(Encoded):
    """A run has told how far it is. `at` is Unix seconds."""

    run_id: str
    progress: Progress
    at: float


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events somebody wants: those that agree with every field that is given."""

    statuses: Collection[RunStatus] = ()
    kinds: Collection[RunKind] = ()
    name: str | None = None
    group: str | None = None

    def wants(self, what: Transition) -> bool:
        return (
            (not self.statuses or what.status in self.statuses)
            and (not self.kinds or what.kind in self.kinds)
            and self.name in {None, what.name}
            and self.group in {None, what.group}
        )


class LiveService:
    """For those who watch. `over` gives an event that is set when a run is over."""

    def __init__(
        self, *, hub: Hub, runs: RunStore, logs: LogFiles, over: Callable[[Run], asyncio.Event]
    ) -> None:
        self._hub = hub
        self._runs = runs
        self._logs = logs
        self._over = over
        self._ending: dict[str, asyncio.Future[Run | None]] = {}

    async def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunNotFoundError: there is none with that id.
        """
        run = await self._runs.get(run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        return run

    async def ended(self, run: Run) -> Run | None:
        """A run that is over, as it is stored; `None` when it has been removed.

        All who ask at the same time share one look: they do when they have followed it.
        """
        looking = self._ending.get(run.id)
        if looking is None:
            looking = self._ending[run.id] = asyncio.ensure_future(self._runs.get(run.id))
            looking.add_done_callback(lambda _: self._ending.pop(run.id, None))
        return await asyncio.shield(looking)

    def check_log(self, run: Run) -> None:
        """Make sure that there is a log to read.

        Raises:
            LogRemovedError: the run has printed something, and all of it has been removed.
        """
        self._logs.expect(run)

    def log(
        self,
        run: Run,
        *,
        offsets: Mapping[Stream, int],
        streams: Collection[Stream],
        follow: bool = True,
    ) -> AsyncGenerator[Piece, None]:
        """What a run has printed and, with `follow`, what it prints until it is over.

        `offsets` are bytes to skip in each stream.

        Raises:
            LogRemovedError: it has printed something, and all of it has been removed.
        """
        self._logs.expect(run)
        mask = mask_of(run)
        if follow:
            return self._logs.follow(run.id, offsets, streams, self._over(run), mask)
        return self._logs.read(run.id, offsets, streams, final=run.status.final, mask=mask)

    def changes(
        self, wanted: EventFilter, since: int | None, *, follow: bool = True
    ) -> AsyncGenerator[Change, None]:
        """The transitions behind number `since` (`None`: from now on), and those to come.

        Raises:
            TooSlowError: the reader falls too far behind what happens.
        """
        return self._hub.events(wanted.wants, since, follow=follow)

    async def changes_of(
        self, run: Run, since: int | None, *, follow: bool = True
    ) -> AsyncGenerator[Change | Advance, None]:
        """The transitions of one run behind number `since`, and its progress, until it is over.

        Without `since` the first is where it stands now.

        Raises:
            TooSlowError: the reader falls too far behind what happens.
        """
        telling, over = ProgressTail(self._logs, run.id, mask_of(run)), self._over(run)
        async with self._hub.listen(lambda what: what.run_id == run.id) as subscription:
            past = await self._runs.history(run.id)
            now = past[-1] if past else None
            last = since if since is not None else now.seq - 1 if now else 0
            for transition in past:
                if transition.seq > last:
                    yield Change(transition)
            if advance := _advance(run, telling):
                yield advance
            last, ended = now.seq if now else last, bool(now and now.status.final)
            while follow and not ended:
                changes = await self._next(run, subscription, over)
                if advance := _advance(run, telling):
                    yield advance
                for change in changes or ():
                    if change.transition.seq > last:
                        yield change
                        last = change.transition.seq
                    ended = change.transition.status.final
                ended = ended or changes is None

    async def _next(
        self, run: Run, subscription: Subscription, over: asyncio.Event
    ) -> Sequence[Change] | None:
        """What comes next, nothing if that takes its time, `None` if the run was removed."""
        was_over = over.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                return [await subscription.next()]
        if not was_over:
            return ()
        # Nobody may have been told of its end, if that was removed at once.
        return [Change(one) for one in await self._runs.history(run.id)] or None


def _advance(run: Run, telling: ProgressTail) -> Advance | None:
    progress = telling.poll()
    return None if progress is None else Advance(run.id, progress, time.time())
