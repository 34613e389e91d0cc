"""Everything an operator can see and do, and the background work behind it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from compat.callers import Callers
from compat.cutover import Cutover
from compat.experiment import Experiment
from compat.measures import Measures
from compat.mismatches import Mismatches
from compat.recorder import Recorder
from compat.rollout import Rollouts
from compat.table import RouteTable
from fastapi_app.errors import StorageUnavailableError

log = logging.getLogger(__name__)

WRITE_EVERY = 1.0
"""Seconds between two writes of what was counted."""


@dataclass(frozen=True, slots=True)
class Operations:
    """What the routes of `/api/v1/cutover` ask for."""

    table: RouteTable
    cutover: Cutover
    measures: Measures
    mismatches: Mismatches
    callers: Callers
    recorder: Recorder
    rollouts: Rollouts

    async def flush(self) -> None:
        """Write down what was counted.

        Raises:
            StorageUnavailableError: it is written with the next time.
        """
        await self.measures.flush()
        await self.mismatches.flush()
        await self.callers.flush()


def owner_of(home: Path) -> str:
    """What names the server of this home folder on this machine, before and after a restart."""
    return hashlib.sha256(f"{socket.gethostname()}:{home.resolve()}".encode()).hexdigest()[:32]


@asynccontextmanager
async def in_background(operations: Operations, experiment: Experiment) -> AsyncIterator[None]:
    """Shadow, watch, count and roll out while the context lasts."""
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in {
            "shadow": experiment.run(),
            "cutover": operations.cutover.watch(),
            "measures": _write_down(operations),
            "rollouts": operations.rollouts.run(),
        }.items()
    ]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await operations.flush()
        except StorageUnavailableError as error:
            log.warning("the last counts could not be written: %s", error)


async def _write_down(operations: Operations) -> None:
    deaf = False
    while True:
        await asyncio.sleep(WRITE_EVERY)
        try:
            await operations.flush()
            deaf = False
        except StorageUnavailableError as error:
            if not deaf:
                log.warning("counts are kept in memory for now: %s", error)
            deaf = True


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended", task.get_name(), exc_info=error)
