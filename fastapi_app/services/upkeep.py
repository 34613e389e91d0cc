"""What is done every now and then without anybody asking: what is old is packed and removed."""

from __future__ import annotations

import asyncio
import logging

from fastapi_app.engine.retention import Janitor
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.models import ACTIVE, RunFilter
from fastapi_app.services.audit import AuditService
from fastapi_app.storage.runs import RunStore

log = logging.getLogger(__name__)

FIRST_AFTER = 30.0
"""Seconds after the start; starting up is busy enough."""
EVERY = 600.0
"""Seconds from the end of one round to the next."""


class Upkeep:
    """Calls the janitor, and cleans the audit log, until it is cancelled."""

    def __init__(
        self,
        janitor: Janitor,
        runs: RunStore,
        audit: AuditService,
        *,
        first_after: float = FIRST_AFTER,
        every: float = EVERY,
    ) -> None:
        self._janitor = janitor
        self._runs = runs
        self._audit = audit
        self._first_after = first_after
        self._every = every

    async def run(self) -> None:
        """Go on for ever; a round that fails is logged, and the next one tries again."""
        await asyncio.sleep(self._first_after)
        while True:
            try:
                active = await self._runs.ids(RunFilter(statuses=ACTIVE))
                swept = await self._janitor.run_once(set(active))
                await self._audit.forget_old()
            except (StorageUnavailableError, OSError) as error:
                log.warning("old logs were not looked after: %s", error)
            except Exception:
                log.exception("looking after old logs failed")
            else:
                if swept.compressed or swept.removed:
                    log.info("%s logs compressed, %s removed", swept.compressed, swept.removed)
            await asyncio.sleep(self._every)
