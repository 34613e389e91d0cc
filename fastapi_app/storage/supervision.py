"""Rows of the `supervision` table to `Supervision` and back, and what must happen all at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.errors import ProcessExistsError
from fastapi_app.models import ACTIVE, Process, Run
from fastapi_app.storage.database import Database
from fastapi_app.storage.processes import process_row
from fastapi_app.storage.runs import run_row
from fastapi_app.storage.tables import processes, runs, supervision
from fastapi_app.storage.text import storable
from fastapi_app.supervision import (
    Backoff,
    Ending,
    Health,
    HealthCheck,
    Plan,
    Restart,
    Stay,
    Supervision,
    Wanted,
)

_LIVE = [str(status) for status in ACTIVE]
_PLAIN = ("process_id", "owner", "run_id", "decided", "ending_run", "restarts", "failures")


class OvertakenError(Exception):
    """Things have changed meanwhile: nothing was committed."""


class SupervisionStore:
    """What is known of processes that are looked after."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def named(self, name: str) -> list[str]:
        """Ids of some processes of that name; the one made under it, if there is one, alone."""
        if not storable(name):
            return []
        statement = (
            select(processes.c.id, supervision.c.name_key)
            .outerjoin(supervision, supervision.c.process_id == processes.c.id)
            .where(processes.c.name == name)
            .order_by(supervision.c.name_key.is_(None), processes.c.created_at, processes.c.id)
            .limit(10)
        )
        async with self._db.read() as connection:
            found = (await connection.execute(statement)).all()
        return [row.id for row in (found[:1] if found and found[0].name_key else found)]

    async def add(self, process: Process, known: Supervision) -> None:
        """Commit a new process that is looked after.

        Raises:
            ProcessExistsError: one has its name, in whatever case.
        """
        row = {**_to_row(known), "name_key": process.name.casefold()}
        try:
            async with self._db.write() as connection:
                await connection.execute(processes.insert(), process_row(process))
                await connection.execute(supervision.insert(), row)
        except IntegrityError as error:
            raise ProcessExistsError(process.name) from error

    async def change(self, process: Process, plan: Plan, owner: str) -> None:
        """Commit what is to be run from the next start on, and how it is looked after."""
        row = process_row(process)
        described = {key: row[key] for key in ("command", "args", "working_dir", "environment")}
        async with self._db.write() as connection:
            await connection.execute(
                update(processes).where(processes.c.id == process.id).values(described)
            )
            await _make_known(connection, process.id, owner)
            await _update(connection, process.id, plan=_plan_to_json(plan))

    async def begin(self, run: Run) -> None:
        """Commit a start that was asked for, and that its server looks after the process.

        Raises:
            OvertakenError: it runs already, or is gone.
        """
        async with self._db.write() as connection:
            await _require_over(connection, run.process_id or "")
            await _insert(connection, run)
            await _update(
                connection,
                run.process_id or "",
                wanted=Wanted.RUNNING,
                owner=run.owner,
                failures=0,
                gave_up=False,
                **_starting(run),
            )

    async def follow(self, run: Run, after: str, failures: int) -> None:
        """Commit the restart of a process whose latest run was `after`.

        Raises:
            OvertakenError: it is not wanted any more, was started by somebody, or is gone.
        """
        async with self._db.write() as connection:
            await _require_over(connection, run.process_id or "", after)
            known = await _locked(connection, run.process_id or "", run.owner)
            if known.wanted is Wanted.STOPPED:
                raise OvertakenError
            await _insert(connection, run)
            await _update(
                connection,
                known.process_id,
                decided=after,
                restarts=known.restarts + 1,
                failures=failures,
                **_starting(run),
            )

    async def settle(self, known: Supervision, run_id: str, step: Stay) -> None:
        """Commit that nothing follows the end of a run, unless somebody has decided meanwhile.

        Raises:
            OvertakenError: another server looks after it now, or the process is gone.
        """
        values: dict[str, Any] = {"decided": run_id, "gave_up": step.gave_up, "health": None}
        async with self._db.write() as connection:
            now = await _locked(connection, known.process_id, known.owner)
            # A start that was asked for meanwhile is not to be undone.
            if step.stopped and now.run_id == run_id:
                values["wanted"] = Wanted.STOPPED
            await _update(connection, known.process_id, **values)

    async def want_stopped(self, process_id: str) -> None:
        """Commit that a process is not to run; what has begun still has to be stopped."""
        async with self._db.write() as connection:
            await _update(connection, process_id, wanted=Wanted.STOPPED)

    async def end_for(self, process_id: str, run_id: str, ending: Ending, owner: str) -> None:
        """Commit why a run is about to be ended, by a server that then looks after the process."""
        async with self._db.write() as connection:
            await _make_known(connection, process_id, owner)
            values: dict[str, Any] = {"ending_run": run_id, "ending": ending}
            if ending is Ending.RESTART:
                values |= {"wanted": Wanted.RUNNING, "owner": owner, "run_id": run_id}
            await _update(connection, process_id, **values)

    async def note_start(self, known: Supervision, run_id: str) -> None:
        """Commit that somebody else has started a process, as which run."""
        async with self._db.write() as connection:
            await connection.execute(
                update(supervision)
                .where(
                    supervision.c.process_id == known.process_id,
                    supervision.c.run_id.is_not_distinct_from(known.run_id),
                )
                .values(run_id=run_id, wanted=Wanted.RUNNING, failures=0, gave_up=False)
            )

    async def note_health(self, process_id: str, health: Health, detail: str | None) -> None:
        """Commit what the checks have found."""
        async with self._db.write() as connection:
            await _update(connection, process_id, health=health, health_detail=detail)

    async def adopt(self, owner: str, is_alive: Callable[[str | None], bool]) -> None:
        """Let `owner` look after what another server did that is gone; forget what is removed."""
        gone = supervision.c.process_id.not_in(select(processes.c.id))
        async with self._db.write() as connection:
            await connection.execute(delete(supervision).where(gone))
            owners = (await connection.scalars(select(supervision.c.owner).distinct())).all()
            for other in owners:
                if not is_alive(other):
                    theirs = supervision.c.owner.is_not_distinct_from(other)
                    await connection.execute(update(supervision).where(theirs).values(owner=owner))

    async def undecided(self, owner: str) -> list[str]:
        """Ids of the processes of a server whose latest run goes on, or has just ended."""
        statement = (
            select(supervision.c.process_id)
            .join(processes, processes.c.id == supervision.c.process_id)
            .join(runs, runs.c.id == processes.c.run_id)
            .where(
                supervision.c.owner == owner,
                or_(
                    supervision.c.decided.is_(None),
                    supervision.c.decided != processes.c.run_id,
                ),
            )
        )
        async with self._db.read() as connection:
            return list((await connection.scalars(statement)).all())

    async def of_owner(self, owner: str) -> list[str]:
        """Ids of all processes that a server looks after."""
        statement = select(supervision.c.process_id).where(supervision.c.owner == owner)
        async with self._db.read() as connection:
            return list((await connection.scalars(statement)).all())


async def _require_over(
    connection: AsyncConnection, process_id: str, latest: str | None = None
) -> None:
    """Hold the row of a process that does not run, and whose latest run is the one given."""
    this = processes.c.id == process_id
    # The lock keeps the other stack's start out on PostgreSQL; SQLite has one writer anyway.
    locked = select(processes.c.run_id).where(this).with_for_update()
    row = (await connection.execute(locked)).first()
    if row is None or latest not in {None, row.run_id}:
        raise OvertakenError
    status = select(runs.c.status).where(runs.c.id == row.run_id)
    if await connection.scalar(status) in _LIVE:
        raise OvertakenError


async def _locked(connection: AsyncConnection, process_id: str, owner: str | None) -> Supervision:
    """What is known of a process that this server looks after, held until the commit."""
    statement = select(supervision).where(supervision.c.process_id == process_id)
    row = (await connection.execute(statement.with_for_update())).mappings().first()
    if row is None or row["owner"] != owner:
        raise OvertakenError
    return row_to_supervision(row)


async def _insert(connection: AsyncConnection, run: Run) -> None:
    await connection.execute(runs.insert(), run_row(run))
    this = processes.c.id == run.process_id
    await connection.execute(update(processes).where(this).values(run_id=run.id))


async def _make_known(connection: AsyncConnection, process_id: str, owner: str) -> None:
    """Look after a process that an old route has made, and nobody looks after so far."""
    this = supervision.c.process_id == process_id
    if await connection.scalar(select(supervision.c.process_id).where(this)) is None:
        row = _to_row(Supervision(process_id, owner=owner))
        await connection.execute(supervision.insert(), row)


async def _update(connection: AsyncConnection, process_id: str, **values: Any) -> None:  # noqa: ANN401
    this = supervision.c.process_id == process_id
    await connection.execute(update(supervision).where(this).values(values))


def _starting(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "ending_run": None,
        "ending": None,
        "health": None,
        "health_detail": None,
    }


def _to_row(known: Supervision) -> dict[str, Any]:
    return {
        **{name: getattr(known, name) for name in _PLAIN},
        "plan": _plan_to_json(known.plan),
        "wanted": known.wanted,
        "ending": known.ending,
        "gave_up": known.gave_up,
        "health": known.health,
        "health_detail": known.health_detail,
    }


def row_to_supervision(values: Mapping[Any, Any]) -> Supervision:
    """What is known of a process, that was stored so."""
    return Supervision(
        **{name: values[name] for name in _PLAIN},
        plan=_plan_from_json(values["plan"]),
        wanted=Wanted(values["wanted"]) if values["wanted"] else None,
        ending=Ending(values["ending"]) if values["ending"] else None,
        gave_up=bool(values["gave_up"]),
        health=Health(values["health"]) if values["health"] else None,
        health_detail=values["health_detail"],
    )


def _plan_to_json(plan: Plan) -> str:
    return json.dumps(asdict(plan))


def _plan_from_json(text: str) -> Plan:
    found = json.loads(text)
    return Plan(
        restart=Restart(found["restart"]),
        backoff=Backoff(**found["backoff"]),
        health=HealthCheck(**found["health"]) if found["health"] else None,
        autostart=found["autostart"],
    )
