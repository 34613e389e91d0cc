"""Every transition of every run, told to all who listen, in order and once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from dataclasses import dataclass

from fastapi_app.engine.background import Background
from fastapi_app.engine.encoded import Encoded
from fastapi_app.models import Transition
from fastapi_app.slow import TooSlowError

log = logging.getLogger(__name__)

Read = Callable[[int, int], Awaitable[Sequence[Transition]]]
"""At most so many transitions behind a number, in order."""
Wants = Callable[[Transition], bool]
"""Whether a listener wants to hear of a transition."""

POLL = 0.25
"""Seconds after which somebody else's transitions are noticed."""
POLL_VERSION = 0.02
"""The same where a look costs next to nothing."""
PAUSE = 0.01
"""Seconds between two looks at the database, however often we are woken."""
PAGE = 1000
"""Transitions read at once."""
QUEUED = 1000
"""Events that may wait for one listener."""
HELD_BACK = 1.0
"""Seconds to wait for a number that is missing before those behind it are told."""
LOOKED_FOR = 10.0
"""Seconds after which a number that is missing is given up: its transaction was rolled back."""
MOST_MISSING = 500
"""Numbers that are looked for at once; fewer than a page."""
RECENT = 100
"""Numbers before the latest among which some may still be to come."""


@dataclass(frozen=True, eq=False)
class Change(Encoded):
    """A transition, on its way to all who want it."""

    transition: Transition


class Subscription:
    """The events for one listener that it has not taken yet."""

    def __init__(self, wants: Wants) -> None:
        self._wants = wants
        self._events: asyncio.Queue[Change] = asyncio.Queue(QUEUED)
        self._dropped = False

    async def next(self) -> Change:
        """The next event.

        Raises:
            TooSlowError: too many events have been waiting.
        """
        if self._dropped:
            raise TooSlowError
        return await self._events.get()

    def offer(self, event: Change) -> bool:
        """Let the event wait for its listener; false when that one is too slow."""
        if self._wants(event.transition):
            try:
                self._events.put_nowait(event)
            except asyncio.QueueFull:
                self._dropped = True
                return False
        return True


class Numbers:
    """Which numbers have been told: all up to `last` but those that are `missing`.

    On PostgreSQL transactions take numbers in one order and commit in another. Clients go on behind
    the last number they saw, so a number waits a moment for a smaller one that is still to come.
    """

    def __init__(self, last: int, missing: Iterable[int] = ()) -> None:
        self.last = last
        self.missing = dict.fromkeys(missing, time.monotonic())

    def read_after(self) -> int:
        """Behind which number to look."""
        return min(self.missing, default=self.last + 1) - 1

    def due(self, found: Sequence[Transition]) -> list[Transition]:
        """Those of the transitions found, in order, whose turn it is."""
        now, due = time.monotonic(), []
        for one in found:
            if one.seq > self.last:
                if self._waits_for_another(one.seq, now):
                    break
                self.last = one.seq
            elif one.seq not in self.missing:
                continue
            self.missing.pop(one.seq, None)
            due.append(one)
        self.missing = {
            seq: since
            for seq, since in self.missing.items()
            if now - since < LOOKED_FOR and seq > self.last - MOST_MISSING
        }
        return due

    def _waits_for_another(self, seq: int, now: float) -> bool:
        between = range(max(self.last + 1, seq - MOST_MISSING), seq)
        since = [self.missing.setdefault(missing, now) for missing in between]
        return bool(since) and now - max(since) < HELD_BACK


class Hub:
    """Reads each transition once, and hands it to every listener. Sleeps while nobody listens.

    `last_seq` tells the number of the latest transition. Where there is a `version` that changes
    with the database and costs next to nothing, it is looked at often, and the database itself only
    when it has changed.
    """

    def __init__(
        self,
        read: Read,
        last_seq: Callable[[], Awaitable[int]],
        version: Callable[[], object] | None = None,
    ) -> None:
        self._read = read
        self._last_seq = last_seq
        self._version = version
        self._seen: object = None
        self._subscriptions: set[Subscription] = set()
        self._numbers = Numbers(0)
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._listeners = 0
        self._background = Background()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something has been committed."""
        self._woken.set()

    async def aclose(self) -> None:
        """Tell nobody anything more."""
        await self._background.aclose()

    async def events(
        self, wants: Wants, since: int | None = None, *, follow: bool = True
    ) -> AsyncGenerator[Change, None]:
        """What has happened behind number `since` (`None`: nothing yet), and what happens then.

        Without `follow` this ends with what has happened.

        Raises:
            TooSlowError: the reader falls too far behind what happens.
        """
        async with self._listening() as numbers:
            position = numbers.last if since is None else since
            while position < (upto := numbers.last):
                page = [one for one in await self._read(position, PAGE) if one.seq <= upto]
                position = page[-1].seq if len(page) == PAGE else upto
                for one in page:
                    if one.seq not in numbers.missing and wants(one):
                        yield Change(one)
            # Nothing is awaited from here to the subscription: what is told next comes to us.
            with self._subscribed(wants) as subscription:
                while follow:
                    yield await subscription.next()

    @contextlib.asynccontextmanager
    async def listen(self, wants: Wants) -> AsyncGenerator[Subscription, None]:
        """What happens from now on."""
        async with self._listening():
            with self._subscribed(wants) as subscription:
                yield subscription

    @contextlib.contextmanager
    def _subscribed(self, wants: Wants) -> Iterator[Subscription]:
        subscription = Subscription(wants)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncGenerator[Numbers, None]:
        async with self._starting:
            if not self._listeners:
                self._numbers = await self._latest()
                self._task = self._background.start(self._run())
            self._listeners += 1
        try:
            yield self._numbers
        finally:
            self._listeners -= 1
            if not self._listeners and self._task is not None:
                self._task.cancel()

    async def _latest(self) -> Numbers:
        last = await self._last_seq()
        recent = {one.seq for one in await self._read(last - RECENT, RECENT)}
        oldest = min(recent, default=last)
        return Numbers(last, set(range(oldest, last)) - recent)

    async def _run(self) -> None:
        poll = POLL if self._version is None else POLL_VERSION
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll):
                    await self._woken.wait()
            try:
                if self._may_have_news():
                    await self._tell()
            except Exception as error:
                # Those who listen must not wait for ever.
                log.warning("events are late: %s", error)
                self._woken.set()
                await asyncio.sleep(POLL)
            await asyncio.sleep(PAUSE)

    def _may_have_news(self) -> bool:
        woken = self._woken.is_set() or bool(self._numbers.missing)
        self._woken.clear()
        before, self._seen = self._seen, None if self._version is None else self._version()
        return woken or self._seen is None or self._seen != before

    async def _tell(self) -> None:
        more = True
        while more:
            found = await self._read(self._numbers.read_after(), PAGE)
            due = self._numbers.due(found)
            for event in map(Change, due):
                for subscription in tuple(self._subscriptions):
                    if not subscription.offer(event):
                        self._subscriptions.discard(subscription)
            more = bool(due) and len(found) == PAGE
