"""Looks at a running process again and again, until it is past help."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi_app.engine.health import Prober
from fastapi_app.models import Process
from fastapi_app.supervision import Health, HealthCheck

Note = Callable[[Health, str | None], Awaitable[None]]
"""Told what the health has come to be, and why."""


class Checkup:
    """The checks of one run of a process."""

    def __init__(self, prober: Prober, process: Process, check: HealthCheck, note: Note) -> None:
        self._prober = prober
        self._process = process
        self._check = check
        self._note = note
        self._counts_from = time.monotonic() + check.grace
        self._cleared = False

    async def until_unhealthy(self, health: Health | None) -> str:
        """Go on from `health` until too many looks in a row have failed; why the last one has."""
        if not self._cleared:
            await self._prober.clear(self._process)
            self._cleared = True
        if health is None:
            health = await self._noted(Health.STARTING)
        failures = 0
        while True:
            await asyncio.sleep(self._check.interval)
            why = await self._prober.failure(self._check, self._process)
            if why is None:
                failures = 0
                if health is not Health.HEALTHY:
                    health = await self._noted(Health.HEALTHY)
                continue
            if time.monotonic() >= self._counts_from:
                failures += 1
            if failures >= self._check.retries:
                if health is not Health.UNHEALTHY:
                    await self._noted(Health.UNHEALTHY, why)
                return why

    async def _noted(self, health: Health, detail: str | None = None) -> Health:
        await self._note(health, detail)
        return health
