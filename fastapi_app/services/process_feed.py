"""Where processes stand, told to those who watch: how it is, then each change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi_app.engine.broadcast import Hub, Subscription
from fastapi_app.errors import ProcessNotFoundError
from fastapi_app.models import RunKind, Transition
from fastapi_app.services.processes import ProcessService
from fastapi_app.storage.runs import RunStore
from fastapi_app.supervision import ManagedProcess, state_of

ROUND = 1.0
"""Seconds after which it is noticed what no run tells: others make, change and remove processes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes there are."""

    processes: Sequence[ManagedProcess]


@dataclass(frozen=True, slots=True)
class Removed:
    """A process is no more."""

    process_id: str


News = Snapshot | ManagedProcess | Removed


class _Watch:
    """What one who watches has not been told: what runs tell, and which processes to look at."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._noted = asyncio.Event()

    def note(self, process_id: str) -> None:
        self._ids[process_id] = None
        self._noted.set()

    def ids(self) -> list[str]:
        """The processes to look at."""
        found = list(self._ids)
        self._ids.clear()
        self._noted.clear()
        return found

    async def transitions(
        self, happening: Subscription
    ) -> AsyncGenerator[tuple[Transition | None, bool], None]:
        """The next transition, or none when others are to be looked at; and whether all are."""
        sources: list[asyncio.Future[Any]] = []
        try:
            sources = [asyncio.ensure_future(happening.next()), self._waiting()]
            while True:
                done, _ = await asyncio.wait(
                    sources, timeout=ROUND, return_when=asyncio.FIRST_COMPLETED
                )
                found = None
                if sources[0] in done:
                    found = sources[0].result().transition
                    sources[0] = asyncio.ensure_future(happening.next())
                if sources[1] in done:
                    sources[1] = self._waiting()
                yield found, not done
        finally:
            for source in sources:
                source.cancel()
            await asyncio.gather(*sources, return_exceptions=True)

    def _waiting(self) -> asyncio.Task[bool]:
        return asyncio.ensure_future(self._noted.wait())


class ProcessFeed:
    """For those who watch processes."""

    def __init__(self, *, hub: Hub, runs: RunStore, processes: ProcessService) -> None:
        self._hub = hub
        self._runs = runs
        self._processes = processes
        self._watching: set[_Watch] = set()

    def note(self, process_id: str) -> None:
        """A process may stand elsewhere now."""
        for watch in self._watching:
            watch.note(process_id)

    async def news(self) -> AsyncGenerator[News, None]:
        """How all processes are, then each change of one.

        Raises:
            TooSlowError: the reader falls too far behind what happens.
        """
        with self._watched() as watch:
            async with self._hub.listen(lambda what: what.kind is RunKind.PROCESS) as happening:
                found = await self._processes.all()
                yield Snapshot(found)
                told = {managed.process.id: managed for managed in found}
                transitions = watch.transitions(happening)
                async with contextlib.aclosing(transitions):
                    async for transition, look_at_all in transitions:
                        news = [] if transition is None else await self._moved(transition)
                        for process_id in watch.ids():
                            news.append(await self._now(process_id))
                        news += await self._all_now(told) if look_at_all else []
                        for each in news:
                            if _is_new(each, told):
                                yield each

    @contextlib.contextmanager
    def _watched(self) -> Iterator[_Watch]:
        watch = _Watch()
        self._watching.add(watch)
        try:
            yield watch
        finally:
            self._watching.discard(watch)

    async def _moved(self, what: Transition) -> list[News]:
        """The process whose run has moved, as it was then."""
        run = await self._runs.get(what.run_id)
        if run is None or run.process_id is None:
            return []
        try:
            managed = await self._processes.get(run.process_id)
        except ProcessNotFoundError:
            return []
        if managed.run is not None and (managed.run.id, managed.run.status) == (
            run.id,
            what.status,
        ):
            return [managed]
        # More has happened since: that will be told in its turn.
        then = run.but(status=what.status, reason=what.reason)
        return [ManagedProcess(managed.process, then, managed.known)]

    async def _now(self, process_id: str) -> News:
        try:
            return await self._processes.get(process_id)
        except ProcessNotFoundError:
            return Removed(process_id)

    async def _all_now(self, told: dict[str, ManagedProcess]) -> list[News]:
        found = await self._processes.all()
        gone = told.keys() - {managed.process.id for managed in found}
        return [*map(Removed, gone), *found]


def _is_new(news: News, told: dict[str, ManagedProcess]) -> bool:
    """Whether it differs in what counts from what was told; if so, it is told now."""
    if isinstance(news, Removed):
        return told.pop(news.process_id, None) is not None
    if isinstance(news, Snapshot):
        return True
    before = told.get(news.process.id)
    if before is not None and _standing(before) == _standing(news):
        return False
    told[news.process.id] = news
    return True


def _standing(managed: ManagedProcess) -> tuple[object, ...]:
    run, known = managed.run, managed.known
    return (
        managed.process,
        state_of(run, known),
        None if run is None else (run.id, run.pid),
        None if known is None else (known.plan, known.health, known.restarts),
    )
