"""Rows of the `jobs` table to `Job` and back, and the claim of what is due."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.errors import JobExistsError
from fastapi_app.models import ACTIVE
from fastapi_app.schedules import (
    UNSETTLED,
    CatchUp,
    Decided,
    Job,
    Occupied,
    Overlap,
    Plan,
    Policy,
    Schedule,
    ScheduleKind,
    Slot,
    SlotState,
    TaskKind,
    Webhook,
)
from fastapi_app.storage.database import Database
from fastapi_app.storage.parts import parts
from fastapi_app.storage.tables import jobs, runs, slots

Decide = Callable[[Job, Occupied], Plan]
NewId = Callable[[], str]
BEGUN = (SlotState.CLAIMED, SlotState.RUNNING)
"""States of a slot that some server is at."""
_ACTIVE = [str(status) for status in ACTIVE]
_PLANNED = update(jobs).where(jobs.c.id == bindparam("job"))


class JobStore:
    """Jobs in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, job: Job) -> None:
        """Commit a new job.

        Raises:
            JobExistsError: somebody has just taken the name.
        """
        try:
            async with self._db.write() as connection:
                await connection.execute(jobs.insert(), _to_row(job))
        except IntegrityError as error:
            raise JobExistsError(job.name, job.name) from error

    async def get(self, job_id: str) -> Job | None:
        """The job with this id."""
        return await self._one(jobs.c.id == job_id)

    async def named(self, name: str) -> Job | None:
        """The job of this name, whatever its case."""
        alike = or_(jobs.c.name_key == name.casefold(), jobs.c.name == name)
        # Of jobs made before names that differ only in case were refused, each has its own.
        return await self._one(alike, order=jobs.c.name != name)

    async def page(self, after: str | None, limit: int) -> list[Job]:
        """At most `limit` jobs by name, behind `after`."""
        statement = select(jobs).order_by(jobs.c.name).limit(limit)
        if after is not None:
            statement = statement.where(jobs.c.name > after)
        async with self._db.read() as connection:
            return [_to_job(row) for row in (await connection.execute(statement)).mappings()]

    async def change(self, job: Job, revision: int, *, replan: bool) -> bool:
        """Commit a changed job, unless somebody has changed it since that revision.

        Where it stands is the planner's, which may have gone on meanwhile, unless it is to
        `replan`.

        Raises:
            JobExistsError: somebody has just taken the new name.
        """
        here = and_(jobs.c.id == job.id, jobs.c.revision == revision)
        kept = {"fired"} if replan else {"fired", "next_slot", "due_at"}
        values = {name: value for name, value in _to_row(job).items() if name not in kept}
        try:
            async with self._db.write() as connection:
                done = await connection.execute(update(jobs).where(here).values(values))
        except IntegrityError as error:
            raise JobExistsError(job.name, job.name) from error
        return done.rowcount == 1

    async def delete(self, job_id: str) -> bool:
        """Forget a job and its slots; its runs stay."""
        async with self._db.write() as connection:
            done = await connection.execute(delete(jobs).where(jobs.c.id == job_id))
            await connection.execute(delete(slots).where(slots.c.job_id == job_id))
        return done.rowcount == 1

    async def next_due(self) -> float | None:
        """When the next job is due."""
        async with self._db.read() as connection:
            found: float | None = await connection.scalar(select(func.min(jobs.c.due_at)))
        return found

    async def by_id(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those of these jobs that there are."""
        found: dict[str, Job] = {}
        for part in parts(ids):
            statement = select(jobs).where(jobs.c.id.in_(part))
            async with self._db.read() as connection:
                rows = (await connection.execute(statement)).mappings()
                found |= {row["id"]: _to_job(row) for row in rows}
        return found

    async def claim(
        self, now: float, limit: int, owner: str, decide: Decide, new_id: NewId
    ) -> list[tuple[Job, Slot]]:
        """Decide about the jobs that are due, at most `limit`, and commit all of that together.

        Nobody else decides about the same jobs meanwhile, and a slot that was decided before is
        left as it is. Returns the slots that are now to be fired.
        """
        due = select(jobs).where(jobs.c.due_at <= now).order_by(jobs.c.due_at, jobs.c.id)
        due = due.limit(limit).with_for_update(skip_locked=True)
        async with self._db.write() as connection:
            found = [_to_job(row) for row in (await connection.execute(due)).mappings()]
            if not found:
                return []
            occupied = await _occupied(connection, [job.id for job in found])
            plans = [(job, decide(job, occupied.get(job.id, Occupied()))) for job in found]
            known = await _known(connection, plans)
            made = [
                (job, _slot(new_id(), job, decided, now, owner))
                for job, plan in plans
                for decided in plan.slots
                if (job.id, decided.at) not in known
            ]
            if made:
                await connection.execute(slots.insert(), [slot_to_row(slot) for _, slot in made])
            await connection.execute(_PLANNED, [_planned(job, plan) for job, plan in plans])
        return [(job, slot) for job, slot in made if slot.state is SlotState.CLAIMED]

    async def _one(
        self, condition: ColumnElement[bool], order: ColumnElement[bool] | None = None
    ) -> Job | None:
        statement = select(jobs).where(condition).order_by(order)
        async with self._db.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else _to_job(row)


def at_work(table: FromClause) -> ColumnElement[bool]:
    """Whether the job of a slot is at it; `table` is that of slots, joined with `runs`."""
    going_on = and_(table.c.state == SlotState.FIRED, runs.c.status.in_(_ACTIVE))
    return or_(table.c.state.in_(BEGUN), going_on)


async def _occupied(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Occupied]:
    """What each of these jobs is at."""
    waits = slots.c.state == SlotState.WAITING
    statement = (
        select(
            slots.c.job_id,
            func.sum(case((at_work(slots), 1), else_=0)),
            func.sum(case((waits, 1), else_=0)),
        )
        .select_from(slots.outerjoin(runs, runs.c.id == slots.c.id))
        .where(
            slots.c.job_id.in_(ids),
            slots.c.state.in_(UNSETTLED),
        )
        .group_by(slots.c.job_id)
    )
    rows = await connection.execute(statement)
    return {job_id: Occupied(int(busy), int(waiting)) for job_id, busy, waiting in rows}


async def _known(
    connection: AsyncConnection, plans: Sequence[tuple[Job, Plan]]
) -> set[tuple[str, float]]:
    """Those of the slots that were decided before: a clock that was put back comes upon them."""
    wanted = {job.id: [decided.at for decided in plan.slots] for job, plan in plans if plan.slots}
    if not wanted:
        return set()
    earliest = min(at for moments in wanted.values() for at in moments)
    statement = select(slots.c.job_id, slots.c.at).where(
        slots.c.job_id.in_(list(wanted)), slots.c.at >= earliest
    )
    return {(job_id, at) for job_id, at in await connection.execute(statement)}


def _slot(slot_id: str, job: Job, decided: Decided, now: float, owner: str) -> Slot:
    settled = decided.state.settled
    return Slot(
        id=slot_id,
        job_id=job.id,
        at=decided.at,
        state=decided.state,
        decided_at=now,
        reason=decided.reason,
        owner=owner if decided.state is SlotState.CLAIMED else None,
        finished_at=now if settled else None,
    )


def _planned(job: Job, plan: Plan) -> dict[str, Any]:
    return {
        "job": job.id,
        "next_slot": plan.next_slot,
        "due_at": plan.due_at,
        "fired": plan.fired,
    }


def slot_to_row(slot: Slot) -> dict[str, Any]:
    """Every column of a slot but those of its notification."""
    return asdict(slot) | {"state": str(slot.state)}


def _to_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "name_key": job.name.casefold(),
        "description": job.description,
        "schedule_kind": str(job.schedule.kind),
        "schedule_text": job.schedule.text,
        "timezone": job.schedule.zone,
        "task_kind": str(job.kind),
        "task": json.dumps(dict(job.task)),
        "policy": json.dumps(asdict(job.policy)),
        "webhook": None if job.webhook is None else json.dumps(asdict(job.webhook)),
        "paused": job.paused,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "next_slot": job.next_slot,
        "due_at": job.due_at,
        "fired": job.fired,
        "revision": job.revision,
    }


def _to_job(row: Mapping[Any, Any]) -> Job:
    policy = json.loads(row["policy"])
    webhook = json.loads(row["webhook"]) if row["webhook"] else None
    return Job(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        schedule=Schedule(
            ScheduleKind(row["schedule_kind"]), row["schedule_text"], row["timezone"]
        ),
        kind=TaskKind(row["task_kind"]),
        task=json.loads(row["task"]),
        policy=Policy(
            **policy
            | {
                "catch_up": CatchUp(policy["catch_up"]),
                "overlap": Overlap(policy["overlap"]),
            }
        ),
        webhook=None if webhook is None else Webhook(**webhook),
        paused=bool(row["paused"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        next_slot=row["next_slot"],
        due_at=row["due_at"],
        fired=row["fired"],
        revision=row["revision"],
    )
