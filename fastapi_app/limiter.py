"""Counts requests in fixed windows: in Redis for all processes, else in the memory of this one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from fastapi_app.windows import Policy, Verdict, Windows, verdict

if TYPE_CHECKING:
    from fastapi_app.shared_windows import SharedWindows

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds Redis has for an answer; only requests that are waiting when it hangs wait so long."""
BACK_OFF = (0.5, 5.0)
"""Seconds after which Redis is tried again: at first, and at most."""


class Limiter:
    """Counts for every policy. `fallbacks` requests were counted in memory though Redis is set.

    Enter it as a context: it ends what it has open. `on_fallback` is called for each of these.

    Raises:
        SettingsError: `redis_url` is no URL of a Redis.
    """

    def __init__(self, redis_url: str | None) -> None:
        self._memory = Windows()
        self._redis = None if redis_url is None else _shared(redis_url)
        self._recovery: asyncio.Task[None] | None = None
        self.fallbacks = 0
        self.on_fallback: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recovery
        if self._redis is not None:
            await self._redis.aclose()

    async def hit(self, policy: Policy, key: str) -> Verdict:
        """Count one request of `key`; never fails, and waits at most `PATIENCE` for Redis."""
        if self._redis is not None:
            if self._recovery is None:
                try:
                    async with asyncio.timeout(PATIENCE):
                        return await self._redis.hit(policy, key)
                except self._redis.failures as error:
                    self._fall_back(self._redis, error)
            self.fallbacks += 1
            if self.on_fallback is not None:
                self.on_fallback()
        count = await self._memory.incr(key, policy.seconds)
        return verdict(policy, count, self._memory.expirations[key] - time.time())

    def _fall_back(self, redis: SharedWindows, error: Exception) -> None:
        if self._recovery is None:
            why = str(error) or type(error).__name__
            log.warning("Redis does not answer (%s); each process limits rates by itself", why)
            self._recovery = asyncio.create_task(self._recover(redis))

    async def _recover(self, redis: SharedWindows) -> None:
        """Wait for Redis, so that no request has to."""
        pause, longest = BACK_OFF
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            with contextlib.suppress(*redis.failures):
                async with asyncio.timeout(PATIENCE):
                    await redis.reconnect()
                break
        log.warning("Redis answers again; all processes share the limits of rates")
        self._recovery = None


def _shared(url: str) -> SharedWindows:
    """The client of Redis takes an eighth of a second to import: decision 0005."""
    module = importlib.import_module("fastapi_app.shared_windows")
    made: SharedWindows = module.SharedWindows(url, PATIENCE)
    return made
