"""Rows of the `runs` table to `Run` and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, Text, bindparam, case, delete, func, or_, select, tuple_, update

from fastapi_app.models import ACTIVE, Run, RunFilter, RunKind, RunStatus, Transition
from fastapi_app.storage.database import Database
from fastapi_app.storage.group_commit import Write
from fastapi_app.storage.options import options_from_json, options_to_json
from fastapi_app.storage.parts import parts
from fastapi_app.storage.tables import runs, transitions
from fastapi_app.storage.text import storable

_PLAIN = [name for name in (c.name for c in runs.columns) if name not in {"group_name", "options"}]
_ACTIVE = [str(status) for status in ACTIVE]
# IN (...) takes a list as one parameter, which no driver can run with many rows at once.
_IS_ACTIVE = or_(runs.c.status == _ACTIVE[0], runs.c.status == _ACTIVE[1])

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
        not_before=None,
        # Why the attempt before ended has been written down as a transition.
        reason=case((runs.c.stop_requested, runs.c.reason), else_=None),
    )
)
_BEGUN = (
    update(runs)
    .where(
        runs.c.id == bindparam("run_id"),
        runs.c.status == RunStatus.QUEUED,
        runs.c.owner == bindparam("by"),
    )
    .values(boot_id=bindparam("new_boot_id"))
)
_REQUEUED = (
    update(runs)
    .where(
        runs.c.id == bindparam("run_id"),
        runs.c.status == RunStatus.RUNNING,
        runs.c.stop_requested.is_(False),
    )
    .values(
        status=RunStatus.QUEUED,
        attempt=bindparam("new_attempt"),
        not_before=bindparam("new_not_before"),
        reason=bindparam("new_reason"),
        returncode=bindparam("new_returncode"),
        pid=None,
        pid_started=None,
        boot_id=None,
    )
)
_STOPPING = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"), _IS_ACTIVE)
    .values(
        stop_requested=True,
        reason=func.coalesce(bindparam("new_reason", type_=Text), runs.c.reason),
    )
)
_TRANSITIONS = select(
    *transitions.c, runs.c.kind, runs.c.name, runs.c.group_name.label("group"), runs.c.returncode
).join(runs, runs.c.id == transitions.c.run_id)
_FINISHED = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"), _IS_ACTIVE)
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


_BY_ID = select(runs).where(runs.c.id == bindparam("run_id"))
_STATUS_SQL = "SELECT status FROM runs WHERE id = ?"


class _BegunError(Exception):
    """Some of it has begun: nothing of the transaction must stay."""


class RunStore:
    """Runs in the database. Hot writes go through the group commit."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run: Run) -> asyncio.Future[bool | None]:
        """Commit a new run: on its way at once, committed when the future is done."""
        return self._db.grouped.submit(0, _INSERT, run_row(run))

    def add_running(self, run: Run) -> Write:
        """Commit a run that somebody waits for, within moments: its end may come first."""
        return self._db.grouped.submit_lingering(0, _INSERT, run_row(run))

    def hasten(self, added: Write) -> None:
        """Commit a run that was to be committed within moments now."""
        self._db.grouped.hasten(added)

    def conclude(self, added: Write, run: Run) -> asyncio.Future[bool | None] | None:
        """Commit the end of a run that was added so together with it, as one row.

        `None` when it is too late for that: the run is in the database, or on its way there.
        """
        if added.taken:
            return None
        added.parameters = run_row(run)
        self._db.grouped.hasten(added)
        return added.done

    async def begin(self, run_id: str, owner: str, boot_id: str) -> bool:
        """Commit that `owner` is about to start a queued run; false when that is not its to do.

        From then on no other server takes the run over: its child may run.
        """
        parameters = {"run_id": run_id, "by": owner, "new_boot_id": boot_id}
        matched = await self._db.grouped.submit(1, _BEGUN, parameters)
        if matched is None:
            stored = await self.get(run_id)
            return stored is not None and (stored.owner, stored.boot_id) == (owner, boot_id)
        return matched

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
        if matched and run.status is not RunStatus.CANCELLED and self._stands_at(run):
            return run
        return await self.get(run.id) or run

    async def requeue(self, run: Run) -> bool:
        """Commit running → queued for the next attempt; false when it is to be stopped, or over."""
        matched = await self._db.grouped.submit(
            2,
            _REQUEUED,
            {
                "run_id": run.id,
                "new_attempt": run.attempt,
                "new_not_before": run.not_before,
                "new_reason": run.reason,
                "new_returncode": run.returncode,
            },
        )
        if matched is None:
            stored = await self.get(run.id)
            return stored is not None and stored.attempt == run.attempt
        return matched

    def _stands_at(self, run: Run) -> bool:
        """Whether it is known, without waiting, that the database has the status of `run`."""
        peek = self._db.peek
        return peek is not None and peek.value(_STATUS_SQL, run.id) == str(run.status)

    async def add_together(self, added: Sequence[Run]) -> None:
        """Commit new runs, all or none."""
        async with self._db.write() as connection:
            await connection.execute(_INSERT, [run_row(run) for run in added])

    async def remove(self, ids: Sequence[str]) -> list[str]:
        """Forget those of these runs that are over, with their history; returns which."""
        removed: list[str] = []
        for part in parts(ids):
            wanted = select(runs.c.id).where(runs.c.id.in_(part), runs.c.status.not_in(_ACTIVE))
            async with self._db.write() as connection:
                found = list((await connection.scalars(wanted)).all())
                await connection.execute(delete(transitions).where(transitions.c.run_id.in_(found)))
                await connection.execute(delete(runs).where(runs.c.id.in_(found)))
            removed += found
        return removed

    async def request_stop(self, run_id: str, reason: str | None) -> None:
        """Commit that the run is to be stopped, so that every watcher reads its end as that."""
        await self._db.grouped.submit(1, _STOPPING, {"run_id": run_id, "new_reason": reason})

    async def adopt(self, ids: Sequence[str], owner: str) -> None:
        """Commit that the server `owner` watches these runs from now on."""
        for part in parts(ids):
            mine = runs.c.id.in_(part)
            async with self._db.write() as connection:
                await connection.execute(update(runs).where(mine).values(owner=owner))

    async def take_over(self, run_id: str, count: int, dead: str | None, owner: str) -> bool:
        """Commit that a run and its steps, `count` in all, are `owner`'s, unless `dead` began any.

        A server that still lives, or comes to, finds that it may not begin them.
        """
        waits = (
            or_(runs.c.id == run_id, runs.c.parent_id == run_id),
            runs.c.status == RunStatus.QUEUED,
            runs.c.owner == dead,
            runs.c.boot_id.is_(None),
        )
        taken = update(runs).where(*waits).values(owner=owner)
        try:
            async with self._db.write() as connection:
                if (await connection.execute(taken)).rowcount != count:
                    raise _BegunError
        except _BegunError:
            return False
        return True

    async def get(self, run_id: str) -> Run | None:
        if not storable(run_id):
            return None
        values = await self._db.first(_BY_ID, {"run_id": run_id})
        return None if values is None else row_to_run(values)

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
        found: list[Run] = []
        for part in parts(ids):
            found += await self._fetch(select(runs).where(runs.c.id.in_(part)))
        return {run.id: run for run in found}

    async def page(
        self, wanted: RunFilter, *, before: tuple[float, str] | None = None, limit: int | None
    ) -> list[Run]:
        """At most `limit` runs, newest first, older than the (created_at, id) of `before`."""
        if not storable(wanted.name, wanted.group, wanted.parent_id):
            return []
        statement = _matching(select(runs), wanted)
        if before is not None:
            statement = statement.where(tuple_(runs.c.created_at, runs.c.id) < tuple_(*before))
        return await self._fetch(
            statement.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        )

    async def ids(self, wanted: RunFilter) -> list[str]:
        """The ids of all runs that match."""
        async with self._db.read() as connection:
            return list((await connection.scalars(_matching(select(runs.c.id), wanted))).all())

    async def ids_of_steps(self, parents: Sequence[str]) -> list[str]:
        """The ids of the steps of all these runs."""
        found: list[str] = []
        for part in parts(parents):
            wanted = select(runs.c.id).where(runs.c.parent_id.in_(part))
            async with self._db.read() as connection:
                found += (await connection.scalars(wanted)).all()
        return found

    async def steps(self, parent_id: str) -> list[Run]:
        """The steps of a run, as they were accepted."""
        statement = select(runs).where(runs.c.parent_id == parent_id)
        return await self._fetch(statement.order_by(runs.c.created_at, runs.c.id))

    async def next_of_process(self, run: Run) -> Run | None:
        """The run of the same process that was accepted after this one."""
        statement = select(runs).where(
            tuple_(runs.c.created_at, runs.c.id) > tuple_(run.created_at, run.id),
            runs.c.process_id == run.process_id,
        )
        found = await self._fetch(statement.order_by(runs.c.created_at, runs.c.id).limit(1))
        return found[0] if found else None

    async def history(self, run_id: str) -> list[Transition]:
        """Every transition of one run, oldest first."""
        return await self._transitions(_TRANSITIONS.where(transitions.c.run_id == run_id))

    async def transitions_after(self, seq: int, limit: int) -> list[Transition]:
        """At most `limit` transitions of any run behind `seq`, oldest first."""
        return await self._transitions(_TRANSITIONS.where(transitions.c.seq > seq).limit(limit))

    async def last_seq(self) -> int:
        """The number of the latest transition; 0 before the first."""
        async with self._db.read() as connection:
            return await connection.scalar(select(func.max(transitions.c.seq))) or 0

    async def _transitions(self, statement: Select[Any]) -> list[Transition]:
        async with self._db.read() as connection:
            rows = await connection.execute(statement.order_by(transitions.c.seq))
            return [_to_transition(row) for row in rows]

    async def _fetch(self, statement: Select[Any]) -> list[Run]:
        async with self._db.read() as connection:
            return [row_to_run(row) for row in (await connection.execute(statement)).mappings()]


def _matching(statement: Select[Any], wanted: RunFilter) -> Select[Any]:
    """The statement with a condition for each field that is given."""
    if wanted.kinds:
        statement = statement.where(runs.c.kind.in_([str(kind) for kind in wanted.kinds]))
    if wanted.statuses:
        statement = statement.where(runs.c.status.in_([str(s) for s in wanted.statuses]))
    if wanted.since is not None:
        statement = statement.where(runs.c.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(runs.c.created_at < wanted.until)
    if wanted.finished_before is not None:
        statement = statement.where(runs.c.finished_at < wanted.finished_before)
    for column, value in (
        (runs.c.name, wanted.name),
        (runs.c.group_name, wanted.group),
        (runs.c.parent_id, wanted.parent_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return statement


def run_row(run: Run) -> dict[str, Any]:
    """A run as a row."""
    row = {name: getattr(run, name) for name in _PLAIN}
    row["kind"] = str(run.kind)
    row["status"] = str(run.status)
    row["args"] = json.dumps(run.args) if run.args else "[]"
    row["env"] = json.dumps(dict(run.env)) if run.env else "{}"
    row["group_name"] = run.group
    row["options"] = options_to_json(run.options)
    return row


def row_to_run(values: Mapping[Any, Any]) -> Run:
    """The run that was stored so."""
    return Run(
        **{name: values[name] for name in _PLAIN}
        | {
            "kind": RunKind(values["kind"]),
            "status": RunStatus(values["status"]),
            "args": tuple(json.loads(values["args"])),
            "env": json.loads(values["env"]),
            "stop_requested": bool(values["stop_requested"]),
            "truncated": bool(values["truncated"]),
            "group": values["group_name"],
            "options": options_from_json(values["options"]),
        }
    )


def _to_transition(row: Row[Any]) -> Transition:
    values: Mapping[Any, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    enums = {"status": RunStatus(values["status"]), "kind": RunKind(values["kind"])}
    return Transition(**{**values, **enums})
