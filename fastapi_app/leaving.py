"""Work that ends when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientLeftError(Exception):
    """Nobody is there to answer."""


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects first.

    Raises:
        ClientLeftError: it did.
    """
    working = asyncio.current_task()
    going_on, left = True, False

    def leave(leaving: asyncio.Task[None]) -> None:
        nonlocal left
        if going_on and working is not None and not leaving.cancelled():
            left = True
            working.cancel()

    # The work itself needs no task of its own: on the hottest path each one counts.
    leaving = asyncio.ensure_future(_disconnected(receive))
    leaving.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if not left or working is None or working.uncancel():
            raise
        raise ClientLeftError from None
    finally:
        going_on = False
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    while not (await receive())["type"].endswith(".disconnect"):
        pass
