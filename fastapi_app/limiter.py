"""Counts requests in fixed windows: in Redis for all processes, else in the memory of this one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fastapi_app.errors import SettingsError
from fastapi_app.settings import OFF

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds Redis has for an answer; only requests that are waiting when it hangs wait so long."""
BACK_OFF = (0.5, 5.0)
"""Seconds after which Redis is tried again: at first, and at most."""
POOL = 32
"""Connections to Redis; who finds none free waits for one."""
PREFIX = "mcli:limit"
SWEEP_AT = 1024
"""Windows in memory at which those that are over are looked for."""


@dataclass(frozen=True, slots=True)
class Policy:
    """So many requests (`quota`) in so many `seconds`; `name` tells it from others."""

    name: str
    quota: int
    seconds: int

    @classmethod
    def of(cls, name: str, text: str) -> Policy | None:
        """The policy that a setting states; `None` when it is off."""
        if text in OFF:
            return None
        rate = parse(text)
        return cls(name, rate.amount, rate.get_expiry())

    def __str__(self) -> str:
        return f"{self.quota} requests in {self.seconds} s"


@dataclass(slots=True)  # a frozen one costs twice as much to make
class Verdict:
    """How many requests are `left` in this window, and in how many seconds it ends.

    `left` is negative when this one was too many.
    """

    left: int
    resets: int


class Limiter:
    """Counts for every policy. `fallbacks` requests were counted in memory though Redis is set.

    Enter it as a context: it ends what it has open. `on_fallback` is called for each of these.

    Raises:
        SettingsError: `redis_url` is no URL of a Redis.
    """

    def __init__(self, redis_url: str | None) -> None:
        self._memory = _Windows()
        self._redis = None if redis_url is None else _Shared(redis_url)
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
                except (RedisError, OSError) as error:  # TimeoutError is an OSError
                    self._fall_back(self._redis, error)
            self.fallbacks += 1
            if self.on_fallback is not None:
                self.on_fallback()
        count = await self._memory.incr(key, policy.seconds)
        return _verdict(policy, count, self._memory.expirations[key] - time.time())

    def _fall_back(self, redis: _Shared, error: Exception) -> None:
        if self._recovery is None:
            why = str(error) or type(error).__name__
            log.warning("Redis does not answer (%s); each process limits rates by itself", why)
            self._recovery = asyncio.create_task(self._recover(redis))

    async def _recover(self, redis: _Shared) -> None:
        """Wait for Redis, so that no request has to."""
        pause, longest = BACK_OFF
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(PATIENCE):
                    await redis.reconnect()
                break
        log.warning("Redis answers again; all processes share the limits of rates")
        self._recovery = None


class _Shared:
    """Counts in Redis, by a script of the library's that is one step there.

    Raises:
        SettingsError: that is no URL of a Redis.
    """

    def __init__(self, url: str) -> None:
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=POOL,
                timeout=PATIENCE,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise SettingsError([f"MCLI_REDIS_URL (redis_url): {error}"]) from error
        self._storage = RedisStorage(
            "async+redis://",  # only what kind: the pool knows where
            implementation="redispy",
            key_prefix=PREFIX,
            connection_pool=self._pool,  # type: ignore[arg-type]
        )
        self._ends = _Windows()

    async def hit(self, policy: Policy, key: str) -> Verdict:
        count = await self._storage.incr(key, policy.seconds)
        now = time.time()
        if count == 1:
            self._ends.begin(key, now + policy.seconds)
        elif self._ends.expirations.get(key, 0.0) <= now:
            # Another process began this window: ask once when it ends.
            self._ends.begin(key, await self._storage.get_expiry(key))
        return _verdict(policy, count, self._ends.expirations[key] - now)

    async def reconnect(self) -> None:
        """Open a connection, in the place of those that were cut, which not each of them knows."""
        await self._pool.disconnect(inuse_connections=False)
        await self._storage.get("reconnected")

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Windows(MemoryStorage):
    """The library's storage in memory without its sweep, which for each hit looks at each key.

    That costs 70 us for each request at 1,000 keys; this one looks at a key once as it doubles.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = SWEEP_AT

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if self.expirations.get(key, 0.0) <= now:
            self.begin(key, now + expiry)
        self.storage[key] += amount
        return self.storage[key]

    def begin(self, key: str, ends: float) -> None:
        """Open a window that ends then (seconds since the epoch)."""
        if len(self.expirations) >= self._sweep_at:
            now = time.time()
            for over in [other for other, end in self.expirations.items() if end <= now]:
                del self.expirations[over]
                self.storage.pop(over, None)
            self._sweep_at = max(SWEEP_AT, 2 * len(self.expirations))
        self.storage[key] = 0
        self.expirations[key] = ends


def _verdict(policy: Policy, count: int, seconds: float) -> Verdict:
    # Redis tells whole seconds, and its clock is not ours.
    return Verdict(policy.quota - count, min(policy.seconds, max(1, math.ceil(seconds))))
