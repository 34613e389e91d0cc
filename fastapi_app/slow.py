"""Readers that do not take what is there for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class TooSlowError(Exception):
    """Nobody waits for this reader any longer."""


async def promptly(sending: Awaitable[None], seconds: float) -> None:
    """Wait for `sending`, but not for ever.

    Raises:
        TooSlowError: the reader has not made room in time.
    """
    try:
        async with asyncio.timeout(seconds):
            await sending
    except TimeoutError:
        raise TooSlowError from None
