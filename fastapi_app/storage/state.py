"""The state of the service as a whole: the daemon switch, and counts over all runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.models import ACTIVE, ActiveWorkflow, RunKind, RunStatus, Snapshot
from fastapi_app.storage.database import Database
from fastapi_app.storage.peek import Peek
from fastapi_app.storage.tables import commands, runs, service_state

DAEMON = "daemon"
RUNNING, STOPPED = "running", "stopped"
_SWITCH = select(service_state.c.value).where(service_state.c.key == DAEMON)
_SWITCH_SQL = "SELECT value FROM service_state WHERE key = ?"
_COUNTS = select(runs.c.kind, runs.c.status, func.count()).group_by(runs.c.kind, runs.c.status)
_WORKFLOWS = (
    select(runs.c.id, runs.c.name, runs.c.status, runs.c.pid)
    .where(runs.c.kind == str(RunKind.WORKFLOW), runs.c.status.in_([str(s) for s in ACTIVE]))
    .order_by(runs.c.created_at, runs.c.id)
)


class StateStore:
    """Reads are cached for as long as nobody has written to the database."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._cached: Snapshot | None = None
        self._cached_version: bytes | None = None
        self._computing: asyncio.Task[Snapshot] | None = None
        self._computing_version: bytes | None = None

    async def daemon_running(self) -> bool:
        """Whether the daemon takes work."""
        if self._db.peek is not None:
            return self._db.peek.value(_SWITCH_SQL, DAEMON) != STOPPED
        async with self._db.read() as connection:
            return await connection.scalar(_SWITCH) != STOPPED

    async def switch_daemon(self, *, running: bool) -> bool:
        """Commit the switch; returns whether that changed anything."""
        value, other = (RUNNING, STOPPED) if running else (STOPPED, RUNNING)
        async with self._db.write() as connection:
            changed = await connection.execute(
                update(service_state)
                .where(service_state.c.key == DAEMON, service_state.c.value == other)
                .values(value=value)
            )
            if changed.rowcount:
                return True
            if await connection.scalar(_SWITCH) is None:
                await connection.execute(service_state.insert(), {"key": DAEMON, "value": value})
        return False

    async def snapshot(self) -> Snapshot:
        """The state of the service; on SQLite computed anew only after a commit."""
        peek = self._db.peek
        if peek is None:
            return await self._compute()
        if self._cached is not None and peek.version() == self._cached_version:
            return self._cached
        return await self._computed_anew(peek)

    async def _computed_anew(self, peek: Peek) -> Snapshot:
        """Compute it, once for all who ask while no commit comes between."""
        # Read the version first: a commit in between makes the next call compute again.
        version = peek.version()
        if self._computing is None or version != self._computing_version:
            self._computing = asyncio.create_task(self._compute())
            self._computing_version = version
        computing = self._computing
        try:
            snapshot = await asyncio.shield(computing)
        finally:
            if computing.done() and computing is self._computing:
                self._computing = None
        self._cached, self._cached_version = snapshot, version
        return snapshot

    async def count_commands(self) -> int:
        async with self._db.read() as connection:
            return await connection.scalar(select(func.count()).select_from(commands)) or 0

    async def _compute(self) -> Snapshot:
        async with self._db.read() as connection:
            switch = await connection.scalar(_SWITCH)
            counts = await _counts(connection)
            active = [
                ActiveWorkflow(row.id, row.name, RunStatus(row.status), row.pid)
                for row in await connection.execute(_WORKFLOWS)
            ]

        def count(**wanted: str) -> int:
            return sum(
                n
                for (kind, status), n in counts.items()
                if wanted.get("kind", kind) == kind and wanted.get("status", status) == status
            )

        return Snapshot(
            daemon_running=switch != STOPPED,
            active_executes=count(kind=RunKind.EXECUTE, status=RunStatus.RUNNING),
            total_executes=count(kind=RunKind.EXECUTE),
            active_workflows=tuple(active),
            running=count(status=RunStatus.RUNNING),
            running_processes=count(kind=RunKind.PROCESS, status=RunStatus.RUNNING),
            queued=count(status=RunStatus.QUEUED),
            total=count(),
            statuses=_by_status(counts),
        )


def _by_status(counts: Mapping[tuple[str, str], int]) -> Mapping[RunStatus, int]:
    found: Counter[RunStatus] = Counter()
    for (_, status), number in counts.items():
        found[RunStatus(status)] += number
    return dict(found)


async def _counts(connection: AsyncConnection) -> dict[tuple[Any, Any], int]:
    rows = await connection.execute(_COUNTS)
    return {(kind, status): number for kind, status, number in rows}
