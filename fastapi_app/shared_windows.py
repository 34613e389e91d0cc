"""Windows that all processes share, in Redis: imported only where there is one."""

from __future__ import annotations

import time

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fastapi_app.errors import SettingsError
from fastapi_app.windows import Policy, Verdict, Windows, verdict

POOL = 32
"""Connections to Redis; who finds none free waits for one."""
PREFIX = "mcli:limit"


class SharedWindows:
    """Counts in Redis, by a script of the library's that is one step there.

    Whatever fails is one of `failures`. `patience` is seconds.

    Raises:
        SettingsError: that is no URL of a Redis.
    """

    failures = (RedisError, OSError)  # TimeoutError is an OSError

    def __init__(self, url: str, patience: float) -> None:
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=POOL,
                timeout=patience,
                socket_timeout=patience,
                socket_connect_timeout=patience,
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
        self._ends = Windows()

    async def hit(self, policy: Policy, key: str) -> Verdict:
        count = await self._storage.incr(key, policy.seconds)
        now = time.time()
        if count == 1:
            self._ends.begin(key, now + policy.seconds)
        elif self._ends.expirations.get(key, 0.0) <= now:
            # Another process began this window: ask once when it ends.
            self._ends.begin(key, await self._storage.get_expiry(key))
        return verdict(policy, count, self._ends.expirations[key] - now)

    async def reconnect(self) -> None:
        """Open a connection, in the place of those that were cut, which not each of them knows."""
        await self._pool.disconnect(inuse_connections=False)
        await self._storage.get("reconnected")

    async def aclose(self) -> None:
        await self._pool.aclose()
