"""Rows of the `runs` table to `Run` and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, case, func, select, tuple_, update

from fastapi_app.models import ACTIVE, Run, RunKind, RunStatus
from fastapi_app.storage.database import Database
from fastapi_app.storage.group_commit import Write
from fastapi_app.storage.tables import runs
from fastapi_app.storage.text import storable

_COLUMNS = [column.name for column in runs.columns]
_ACTIVE = [str(status) for status in ACTIVE]

# Statements are built once: the group commit runs equal ones together, and SQLAlchemy compiles
# each only once.
_INSERT = runs.insert()
_STARTED = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"), runs.c.status == RunStatus.QUEUED)
    .values(
        status=RunStatus.RUNNING,
        pid=bindparam("new_pid"),
        pid_started=bindparam("new_pid_started"),
        boot_id=bindparam("new_boot_id"),
        owner=bindparam("new_owner"),
        started_at=bindparam("new_started_at"),
    )
)
_FINISHED = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"), runs.c.status.in_(_ACTIVE))
    .values(
        status=case(
            (runs.c.stop_requested, str(RunStatus.CANCELLED)), else_=bindparam("new_status")
        ),
        reason=func.coalesce(runs.c.reason, bindparam("new_reason")),
        returncode=bindparam("new_returncode"),
        finished_at=bindparam("new_finished_at"),
        stdout_bytes=bindparam("new_stdout_bytes"),
        stderr_bytes=bindparam("new_stderr_bytes"),
        truncated=bindparam("new_truncated"),
    )
)


class RunStore:
    """Runs in the database. Hot writes go through the group commit."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run: Run) -> asyncio.Future[bool | None]:
        """Commit a new run: on its way at once, committed when the future is done."""
        return self._db.grouped.submit(0, _INSERT, _to_row(run))

    def add_running(self, run: Run) -> Write:
        """Commit a run that somebody waits for, within moments: its end may come first."""
        return self._db.grouped.submit_lingering(0, _INSERT, _to_row(run))

    def hasten(self, added: Write) -> None:
        """Commit a run that was to be committed within moments now."""
        self._db.grouped.hasten(added)

    async def conclude(self, added: Write, run: Run) -> Run:
        """Commit the end of a run that was added so; both as one row when there is still time."""
        if added.taken:
            await added.done
            return await self.finish(run)
        added.parameters = _to_row(run)
        self._db.grouped.hasten(added)
        await added.done
        return run

    async def mark_started(self, run: Run) -> bool:
        """Commit queued → running with the process's identity; false when it was not queued."""
        matched = await self._db.grouped.submit(
            1,
            _STARTED,
            {
                "run_id": run.id,
                "new_pid": run.pid,
                "new_pid_started": run.pid_started,
                "new_boot_id": run.boot_id,
                "new_owner": run.owner,
                "new_started_at": run.started_at,
            },
        )
        if matched is None:
            stored = await self.get(run.id)
            return stored is not None and stored.status is RunStatus.RUNNING
        return matched

    async def finish(self, run: Run) -> Run:
        """Commit the end of a run as `run` has it, unless somebody else ended it first.

        Returns the run as it stands in the database afterwards.
        """
        matched = await self._db.grouped.submit(
            2,
            _FINISHED,
            {
                "run_id": run.id,
                "new_status": str(run.status),
                "new_reason": run.reason,
                "new_returncode": run.returncode,
                "new_finished_at": run.finished_at,
                "new_stdout_bytes": run.stdout_bytes,
                "new_stderr_bytes": run.stderr_bytes,
                "new_truncated": run.truncated,
            },
        )
        if matched and not run.stop_requested and run.kind is RunKind.EXECUTE:
            return run
        return await self.get(run.id) or run

    async def request_stop(self, run_id: str, reason: str | None) -> None:
        """Commit that the run is to be stopped, so that every watcher reads its end as that."""
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status.in_(_ACTIVE))
            .values(stop_requested=True, reason=func.coalesce(reason, runs.c.reason))
        )
        async with self._db.write() as connection:
            await connection.execute(statement)

    async def adopt(self, run_id: str, owner: str) -> None:
        """Commit that the server `owner` watches the run from now on."""
        async with self._db.write() as connection:
            await connection.execute(update(runs).where(runs.c.id == run_id).values(owner=owner))

    async def get(self, run_id: str) -> Run | None:
        if not storable(run_id):
            return None
        async with self._db.read() as connection:
            row = (await connection.execute(select(runs).where(runs.c.id == run_id))).first()
        return None if row is None else _to_run(row)

    async def unfinished(self) -> list[Run]:
        """Every run that is queued or running, oldest first."""
        statement = select(runs).where(runs.c.status.in_(_ACTIVE))
        return await self._fetch(statement.order_by(runs.c.created_at, runs.c.id))

    async def latest_named(self, name: str, kind: RunKind) -> Run | None:
        """The most recent run of that name, one that still goes on before any that ended."""
        if not storable(name):
            return None
        statement = (
            select(runs)
            .where(runs.c.name == name, runs.c.kind == str(kind))
            .order_by(
                case((runs.c.status.in_(_ACTIVE), 0), else_=1),
                case(
                    (runs.c.status.in_(_ACTIVE), runs.c.created_at), else_=runs.c.finished_at
                ).desc(),
                runs.c.id.desc(),
            )
            .limit(1)
        )
        found = await self._fetch(statement)
        return found[0] if found else None

    async def by_id(self, ids: Sequence[str]) -> dict[str, Run]:
        """The runs with these ids."""
        found = await self._fetch(select(runs).where(runs.c.id.in_(ids))) if ids else []
        return {run.id: run for run in found}

    async def page(
        self,
        *,
        kinds: Sequence[RunKind],
        statuses: Sequence[RunStatus],
        name: str | None,
        before: tuple[float, str] | None,
        limit: int,
    ) -> list[Run]:
        """At most `limit` runs, newest first, older than the (created_at, id) of `before`."""
        if not storable(name):
            return []
        statement = select(runs).where(runs.c.kind.in_([str(kind) for kind in kinds]))
        if statuses:
            statement = statement.where(runs.c.status.in_([str(status) for status in statuses]))
        if name is not None:
            statement = statement.where(runs.c.name == name)
        if before is not None:
            statement = statement.where(tuple_(runs.c.created_at, runs.c.id) < tuple_(*before))
        return await self._fetch(
            statement.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        )

    async def _fetch(self, statement: Select[Any]) -> list[Run]:
        async with self._db.read() as connection:
            return [_to_run(row) for row in await connection.execute(statement)]


def _to_row(run: Run) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in _COLUMNS}
    row["kind"] = str(run.kind)
    row["status"] = str(run.status)
    row["args"] = json.dumps(run.args) if run.args else "[]"
    row["env"] = json.dumps(dict(run.env)) if run.env else "{}"
    return row


def _to_run(row: Row[Any]) -> Run:
    values: Mapping[Any, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return Run(
        **{
            **values,
            "kind": RunKind(values["kind"]),
            "status": RunStatus(values["status"]),
            "args": tuple(json.loads(values["args"])),
            "env": json.loads(values["env"]),
            "stop_requested": bool(values["stop_requested"]),
            "truncated": bool(values["truncated"]),
        }
    )
