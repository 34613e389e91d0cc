"""Rows of `commands`, `processes` and `service_state`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, delete, insert, select, update

from legacy_flask.runs import LIVE, add_run
from legacy_flask.tables import commands, processes, runs, service_state

if TYPE_CHECKING:
    from sqlalchemy import Row

    from legacy_flask.database import Database

_STATE = select(service_state.c.value).where(service_state.c.key == "daemon")


class StateStore:
    """Whether the daemon is meant to run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_running(self) -> bool:
        """Return true unless it was stopped."""
        with self._database.read() as connection:
            return connection.execute(_STATE).scalar() != "stopped"

    def set(self, value: str) -> bool:
        """Make it `running` or `stopped`; False when it was so before."""
        row = service_state.c.key == "daemon"
        with self._database.write() as connection:
            before = connection.execute(_STATE).scalar()
            if before is None:
                connection.execute(insert(service_state).values(key="daemon", value=value))
            elif before != value:
                connection.execute(update(service_state).where(row).values(value=value))
            return before != value


class CommandStore:
    """Stored commands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, inactive_too: bool) -> list[Row[Any]]:
        """By name, in code-point order whatever the collation of the database."""
        query = select(commands)
        if not inactive_too:
            query = query.where(commands.c.is_active)
        with self._database.read() as connection:
            return sorted(connection.execute(query), key=lambda row: str(row.name))

    def get(self, command_id: str) -> Row[Any] | None:
        """One command, active or not."""
        return self._one(commands.c.id == command_id)

    def active(self, column: str, value: str) -> Row[Any] | None:
        """One active command by `id` or `name`."""
        return self._one((commands.c[column] == value) & commands.c.is_active)

    def _one(self, condition: ColumnElement[bool]) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(select(commands).where(condition)).one_or_none()


class ProcessStore:
    """Managed processes, each read together with its latest run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, ended_too: bool) -> list[Row[Any]]:
        """By `created_at`, then `id`."""
        query = _with_run()
        if not ended_too:
            query = query.where(runs.c.status.in_(LIVE))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(processes.c.created_at, processes.c.id))
            return list(rows)

    def get(self, process_id: str) -> Row[Any] | None:
        """One process; its run's columns are null when it was never started."""
        with self._database.read() as connection:
            query = _with_run().where(processes.c.id == process_id)
            return connection.execute(query).one_or_none()

    def add(self, values: dict[str, Any]) -> None:
        """Insert a process that has not run yet."""
        with self._database.write() as connection:
            connection.execute(insert(processes).values(**values))

    def begin_run(self, process_id: str, run: dict[str, Any]) -> bool:
        """Insert its next run; False when the process runs already, or is gone."""
        this = processes.c.id == process_id
        with self._database.write() as connection:
            # The lock keeps a second start out on PostgreSQL; SQLite has one writer anyway.
            locked = select(processes.c.run_id).where(this).with_for_update()
            latest = connection.execute(locked).one_or_none()
            if latest is None:
                return False
            status = select(runs.c.status).where(runs.c.id == latest.run_id)
            if connection.execute(status).scalar() in LIVE:
                return False
            add_run(connection, run)
            connection.execute(update(processes).where(this).values(run_id=run["id"]))
            return True

    def remove(self, process_id: str) -> bool:
        """Delete a process that does not run; its runs stay as history. False when it runs."""
        with self._database.write() as connection:
            query = _with_run().where(processes.c.id == process_id)
            row = connection.execute(query.with_for_update(of=processes)).one_or_none()
            if row is not None and row.run_status in LIVE:
                return False
            connection.execute(delete(processes).where(processes.c.id == process_id))
            return True


def _with_run() -> Select[Any]:
    return select(
        processes,
        runs.c.status.label("run_status"),
        runs.c.reason,
        runs.c.pid,
        runs.c.pid_started,
        runs.c.boot_id,
        runs.c.returncode,
        runs.c.started_at,
        runs.c.finished_at,
    ).select_from(processes.outerjoin(runs, runs.c.id == processes.c.run_id))
