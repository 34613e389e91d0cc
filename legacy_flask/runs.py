"""Rows of `runs`: begun, ended once, and read back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Text, bindparam, case, func, insert, select, update

from legacy_flask.tables import commands, runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from legacy_flask.database import Database

LIVE = ("queued", "running")

# Built once: SQLAlchemy then looks up their SQL by identity instead of walking them each time.
_INSERT = insert(runs)
_COUNT_USE = (
    update(commands)
    .where(commands.c.id == bindparam("used"))
    .values(execution_count=commands.c.execution_count + 1, last_executed=bindparam("now"))
)
_BY_ID = select(runs).where(runs.c.id == bindparam("wanted"))
_MARK_RUNNING = (
    update(runs)
    .where(runs.c.id == bindparam("wanted"), runs.c.status == "queued")
    .values(
        status="running",
        started_at=bindparam("started"),
        pid=bindparam("child"),
        pid_started=bindparam("ticks"),
    )
)
_FINISH = (
    update(runs)
    .where(runs.c.id == bindparam("wanted"), runs.c.status.in_(LIVE))
    .values(
        status=case((runs.c.stop_requested, "cancelled"), else_=bindparam("outcome", type_=Text)),
        returncode=bindparam("new_returncode"),
        reason=func.coalesce(bindparam("why", type_=Text), runs.c.reason),
        finished_at=bindparam("now"),
        stdout_bytes=bindparam("new_stdout_bytes"),
        stderr_bytes=bindparam("new_stderr_bytes"),
    )
)
_ACTIVE_WORKFLOWS = (
    select(runs)
    .where(runs.c.kind == "workflow", runs.c.status.in_(LIVE))
    .order_by(runs.c.created_at, runs.c.id)
)
_EXECUTE_COUNTS = (
    select(runs.c.status, func.count().label("number"))
    .where(runs.c.kind == "execute")
    .group_by(runs.c.status)
)


class RunStore:
    """What is known of every run, whichever stack started it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def is_local(self) -> bool:
        """Whether only servers of this machine can have written the rows."""
        return self._database.is_sqlite

    def add(self, values: dict[str, Any]) -> None:
        """Insert a run; one of a stored command counts as a use of it."""
        with self._database.write() as connection:
            add_run(connection, values)

    def mark_running(self, run_id: str, *, started_at: float, pid: int, pid_started: int) -> bool:
        """Turn a queued run into a running one; False when it was ended meanwhile."""
        values = {"wanted": run_id, "started": started_at, "child": pid, "ticks": pid_started}
        with self._database.write() as connection:
            return connection.execute(_MARK_RUNNING, values).rowcount == 1

    def finish(
        self,
        run_id: str,
        status: str,
        *,
        returncode: int | None = None,
        reason: str | None = None,
        sizes: tuple[int, int] = (0, 0),
    ) -> None:
        """End a run, unless it has ended already; a stopped one ends as `cancelled`.

        `sizes` are the bytes of its output and its error output.
        """
        values = {
            "wanted": run_id,
            "outcome": status,
            "new_returncode": returncode,
            "why": reason,
            "now": time.time(),
            "new_stdout_bytes": sizes[0],
            "new_stderr_bytes": sizes[1],
        }
        with self._database.write() as connection:
            connection.execute(_FINISH, values)

    def request_stop(self, run_id: str, reason: str | None = None) -> Row[Any] | None:
        """Say that a run shall end, end it when it has no child yet, and return it."""
        asked: dict[str, Any] = {"stop_requested": True}
        if reason is not None:
            asked["reason"] = reason
        this = runs.c.id == run_id
        with self._database.write() as connection:
            connection.execute(update(runs).where(this, runs.c.status.in_(LIVE)).values(**asked))
            connection.execute(
                update(runs)
                .where(this, runs.c.status == "queued")
                .values(status="cancelled", finished_at=time.time())
            )
            return connection.execute(_BY_ID, {"wanted": run_id}).one_or_none()

    def get(self, run_id: str) -> Row[Any] | None:
        """One run, whatever its kind."""
        with self._database.read() as connection:
            return connection.execute(_BY_ID, {"wanted": run_id}).one_or_none()

    def is_live(self, run_id: str) -> bool:
        """Whether a run is queued or running."""
        run = self.get(run_id)
        return run is not None and run.status in LIVE

    def workflow(self, *, run_id: str | None = None, name: str | None = None) -> Row[Any] | None:
        """Find a workflow by id, or the one its name means: last started, else last finished."""
        query = select(runs).where(runs.c.kind == "workflow")
        if run_id is not None:
            query = query.where(runs.c.id == run_id)
        else:
            query = query.where(runs.c.name == name)
        live = case((runs.c.status.in_(LIVE), runs.c.created_at))
        query = query.order_by(
            live.desc().nulls_last(), runs.c.finished_at.desc(), runs.c.id.desc()
        ).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).one_or_none()

    def activity(self) -> Activity:
        """Count and list what goes on, all at one moment."""
        with self._database.read() as connection:
            rows = connection.execute(_EXECUTE_COUNTS).all()
            workflows = list(connection.execute(_ACTIVE_WORKFLOWS))
        counts = {row.status: row.number for row in rows}
        return Activity(counts.get("running", 0), sum(counts.values()), workflows)

    def owned_and_live(self) -> list[Row[Any]]:
        """List runs that some server said it watches."""
        query = select(runs).where(runs.c.status.in_(LIVE), runs.c.owner.is_not(None))
        with self._database.read() as connection:
            return list(connection.execute(query))


@dataclass(frozen=True)
class Activity:
    """Runs of kind `execute` that are running, all of them ever, and the live workflows."""

    executing: int
    executed: int
    workflows: list[Row[Any]]


def add_run(connection: Connection, values: dict[str, Any]) -> None:
    """Insert a run inside a transaction."""
    connection.execute(_INSERT, values)
    if values["command_id"] is not None:
        use = {"used": values["command_id"], "now": values["created_at"]}
        connection.execute(_COUNT_USE, use)
