"""The service as a whole: its switch, its state, its age."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from fastapi_app.models import Snapshot
from fastapi_app.services.audit import AuditService
from fastapi_app.storage.state import StateStore


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What does not change while the server runs."""

    version: str
    home: str
    database: str
    pid: int


class DaemonService:
    """Whether the daemon takes work, and what it is doing."""

    def __init__(
        self, state: StateStore, audit: AuditService, *, version: str, home: str, database: str
    ) -> None:
        self._state = state
        self._audit = audit
        self._began = time.monotonic()
        self.info = ServiceInfo(version, home, database, os.getpid())

    @property
    def uptime_seconds(self) -> float:
        return time.monotonic() - self._began

    async def running(self) -> bool:
        """Whether the daemon takes work."""
        return await self._state.daemon_running()

    async def start(self) -> bool:
        """Let the daemon take work; false when it did already."""
        changed = await self._state.switch_daemon(running=True)
        if changed:
            await self._audit.record("daemon.start")
        return changed

    async def stop(self) -> bool:
        """Let the daemon take no more work; false when it took none. What runs goes on."""
        changed = await self._state.switch_daemon(running=False)
        if changed:
            await self._audit.record("daemon.stop")
        return changed

    async def snapshot(self) -> Snapshot:
        """The state of the service now."""
        return await self._state.snapshot()

    async def count_commands(self) -> int:
        """How many commands are stored."""
        return await self._state.count_commands()
