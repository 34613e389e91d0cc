"""One look at whether a process works: a command that exits with 0, or a URL that answers."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import signal
import time
from types import ModuleType

from fastapi_app.engine.cookies import RUN_ID, sweep
from fastapi_app.engine.limits import SHELL
from fastapi_app.engine.process import Launch, Spawner
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Process
from fastapi_app.supervision import HealthCheck

LONGEST_DETAIL = 200
"""Characters of what a failed look has to say."""


class Prober:
    """Looks. A look that hangs is given up in time, and what it has started is killed."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._httpx: ModuleType | None = None
        self._numbers = itertools.count(1)

    async def failure(self, check: HealthCheck, process: Process) -> str | None:
        """Why the process does not work, or `None` when it does."""
        if check.command is not None:
            return await self._by_command(check.command, check.timeout, process)
        return await self._by_url(check.url or "", check.timeout)

    async def clear(self, process: Process) -> None:
        """Kill what is left of looks whose server has been killed."""
        await sweep(_cookie(process), kill_at=time.monotonic())

    async def _by_command(self, command: str, timeout: float, process: Process) -> str | None:
        look_id = f"{_cookie(process)}-{next(self._numbers)}"
        launch = Launch(
            path=SHELL,
            argv=[SHELL, "-c", command],
            stdout=os.devnull,
            stderr=os.devnull,
            env={**process.environment, RUN_ID: _cookie(process)},
            cwd=process.working_dir,
        )
        try:
            spawned = await asyncio.shield(self._spawner.spawn(look_id, launch))
        except SpawnFailedError as error:
            return f"could not be looked at: {error.detail}"[:LONGEST_DETAIL]
        try:
            await asyncio.wait((spawned.exited,), timeout=timeout)
        finally:
            # Also when nobody wants to know any more: the process was stopped meanwhile.
            hangs = not spawned.exited.done()
            if hangs:
                self._spawner.signal(look_id, signal.SIGKILL)
        if hangs:
            await asyncio.wait((spawned.exited,))
            await self.clear(process)
            return f"the check took longer than {timeout:g} seconds"
        code = spawned.exited.result()
        return None if code == 0 else f"the check ended with exit code {code}"

    async def _by_url(self, url: str, timeout: float) -> str | None:
        if self._httpx is None:  # slow to import, and only needed here: decision 0005
            self._httpx = await asyncio.to_thread(importlib.import_module, "httpx")
        httpx = self._httpx
        try:
            async with (
                asyncio.timeout(timeout),
                httpx.AsyncClient(trust_env=False, timeout=None) as client,
                client.stream("GET", url) as answer,
            ):
                status: int = answer.status_code
        except TimeoutError:
            return f"{url} did not answer within {timeout:g} seconds"[:LONGEST_DETAIL]
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return f"{url}: {error or type(error).__name__}"[:LONGEST_DETAIL]
        return None if status < httpx.codes.BAD_REQUEST else f"{url} answered {status}"


def _cookie(process: Process) -> str:
    """What all looks at a process carry in their environment, to be found by it."""
    return f"health-{process.id}"
