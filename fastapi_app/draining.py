"""The way out of a server: it says so, streams end, and answers in flight are waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from fastapi_app.identity import PRINCIPAL

T = TypeVar("T")

STATE = "draining"
"""Where the state of each request holds the server's."""


class Draining:
    """How far a server is on its way out. A signal handler may tell that it has begun."""

    def __init__(self) -> None:
        self.begun = False
        """Whether no new work should come here."""
        self._ending = False
        self._waiting: set[asyncio.Task[Any]] = set()

    def end_streams(self) -> None:
        """Have every stream end where it is: without that they would go on for ever."""
        self.begun = self._ending = True
        for task in self._waiting:
            task.cancel()

    async def until_end(
        self, items: AsyncGenerator[T, None], over: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[T, None]:
        """The items as they come; none any more once all streams are to end, or `over` has come."""
        ended = asyncio.ensure_future(over())
        async with contextlib.aclosing(items):
            try:
                while (task := self._task_that_goes_on(ended)) is not None:
                    self._waiting.add(task)
                    ended.add_done_callback(interrupt := partial(_cancel, task))
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                    except asyncio.CancelledError:
                        # Whoever else has cancelled it wants more than the end of a stream.
                        if (self._ending or ended.done()) and task.uncancel() == 0:
                            return
                        raise
                    finally:
                        self._waiting.discard(task)
                        ended.remove_done_callback(interrupt)
                    yield item
            finally:
                ended.cancel()

    def _task_that_goes_on(self, ended: asyncio.Future[object]) -> asyncio.Task[Any] | None:
        return None if self._ending or ended.done() else asyncio.current_task()


class Ends:
    """What ends the streams of one request: the server leaves, or what `over` waits for comes."""

    def __init__(self, draining: Draining, over: Callable[[], Awaitable[object]]) -> None:
        self._draining = draining
        self._over = over

    def until_end(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The items as they come, as long as they may."""
        return self._draining.until_end(items, self._over)


def _cancel(task: asyncio.Task[Any], _ended: asyncio.Future[object]) -> None:
    task.cancel()


async def ends_of(connection: HTTPConnection) -> Ends:
    """What ends the streams of this request: the last is that whoever asked is shut out."""
    state, identity = connection.scope["state"], connection.app.state.services.identity
    return Ends(draining_of(state), partial(identity.until_revoked, state[PRINCIPAL]))


def draining_of(state: Mapping[str, Any]) -> Draining:
    """That of the server which answers the request with this state; else one that never begins."""
    found: Draining = state.get(STATE) or _NEVER
    return found


_NEVER = Draining()
