"""Rows of the `audit` table to `AuditEntry` and back. A row is never changed."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import bindparam, delete, select

from fastapi_app.models import AuditEntry, AuditFilter
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import audit

_COLUMNS = [column.name for column in audit.columns if column.name != "seq"]
_INSERT = audit.insert().values({name: bindparam(name) for name in _COLUMNS})
_RANK = 9
"""Behind what it tells of, where both are in one transaction."""


class AuditStore:
    """The audit log in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, entry: AuditEntry) -> None:
        """Commit an entry, whose number the database gives."""
        row = asdict(entry)
        del row["seq"]
        await self._db.grouped.submit(_RANK, _INSERT, row)

    async def page(self, wanted: AuditFilter, before: int | None, limit: int) -> list[AuditEntry]:
        """Entries with a number below `before`, the newest first."""
        query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
        for name in ("action", "principal", "subject", "outcome"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(audit.c[name] == value)
        if wanted.since is not None:
            query = query.where(audit.c.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(audit.c.at < wanted.until)
        if before is not None:
            query = query.where(audit.c.seq < before)
        async with self._db.read() as connection:
            rows = await connection.execute(query)
            return [AuditEntry(**row) for row in rows.mappings()]

    async def remove_before(self, moment: float) -> int:
        """Forget entries older than this (Unix seconds); returns how many."""
        async with self._db.write() as connection:
            return (await connection.execute(delete(audit).where(audit.c.at < moment))).rowcount
