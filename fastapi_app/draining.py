"""The way out of a server: it says so, streams end, and answers in flight are waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

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

    async def until_end(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The items as they come; none any more once streams are to end."""
        async with contextlib.aclosing(items):
            while (task := self._task_that_goes_on()) is not None:
                self._waiting.add(task)
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    # Whoever else has cancelled it wants more than the end of a stream.
                    if self._ending and task.uncancel() == 0:
                        return
                    raise
                finally:
                    self._waiting.discard(task)
                yield item

    def _task_that_goes_on(self) -> asyncio.Task[Any] | None:
        return None if self._ending else asyncio.current_task()


def draining_of(state: Mapping[str, Any]) -> Draining:
    """That of the server which answers the request with this state; else one that never begins."""
    found: Draining = state.get(STATE) or _NEVER
    return found


_NEVER = Draining()
