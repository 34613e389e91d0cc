"""What stored commands were, and how their runs went."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from fastapi_app.models import FAILURES, CommandStats, CommandVersion, RunStatus
from fastapi_app.storage.command_rows import row_to_version
from fastapi_app.storage.database import Database
from fastapi_app.storage.runs import row_to_run
from fastapi_app.storage.tables import command_versions, runs

_TIMED = [str(s) for s in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.TIMED_OUT)]
_FAILED = [str(status) for status in FAILURES]


class CommandHistory:
    """Versions and runs of stored commands in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def versions(
        self, command_id: str, *, before: int | None = None, limit: int
    ) -> list[CommandVersion]:
        """At most `limit` versions, the newest first, older than `before`."""
        statement = select(command_versions).where(command_versions.c.command_id == command_id)
        if before is not None:
            statement = statement.where(command_versions.c.version < before)
        statement = statement.order_by(command_versions.c.version.desc()).limit(limit)
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [row_to_version(row) for row in rows]

    async def version(self, command_id: str, number: int) -> CommandVersion | None:
        """One version."""
        statement = select(command_versions).where(
            command_versions.c.command_id == command_id, command_versions.c.version == number
        )
        async with self._db.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else row_to_version(row)

    async def stats(self, command_id: str, since: float | None = None) -> CommandStats:
        """How its runs went, those accepted at `since` (Unix seconds) or later."""
        mine: list[ColumnElement[bool]] = [runs.c.command_id == command_id]
        if since is not None:
            mine.append(runs.c.created_at >= since)
        counted = select(runs.c.status, func.count()).where(*mine).group_by(runs.c.status)
        failed = select(runs).where(*mine, runs.c.status.in_(_FAILED))
        latest = failed.order_by(runs.c.finished_at.desc(), runs.c.id.desc()).limit(1)
        async with self._db.read() as connection:
            statuses = {RunStatus(s): n for s, n in await connection.execute(counted)}
            mean, p50, p95 = (await connection.execute(_durations(mine))).one()
            failure = (await connection.execute(latest)).mappings().first()
        return CommandStats(
            runs=sum(statuses.values()),
            statuses=statuses,
            mean=mean,
            p50=p50,
            p95=p95,
            last_failure=None if failure is None else row_to_run(failure),
        )


def _durations(mine: list[ColumnElement[bool]]) -> Any:  # noqa: ANN401 - a select of three columns
    """Mean and percentiles; SQLite has no function for these, so runs are numbered by duration."""
    seconds = runs.c.finished_at - runs.c.started_at
    ranked = (
        select(
            seconds.label("seconds"),
            func.row_number().over(order_by=seconds).label("number"),
            func.count().over().label("total"),
        )
        .where(*mine, runs.c.status.in_(_TIMED), runs.c.started_at.is_not(None))
        .where(runs.c.finished_at.is_not(None))
        .subquery()
    )
    found = [func.avg(ranked.c.seconds)]
    for percent in (50, 95):
        reached = ranked.c.number * 100 >= ranked.c.total * percent
        found.append(func.min(case((reached, ranked.c.seconds))))
    return select(*found)
