"""Rows of the `slots` table to `Slot` and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from fastapi_app.models import ACTIVE, RunStatus
from fastapi_app.schedules import UNSETTLED, ShownSlot, Slot, SlotState
from fastapi_app.storage.database import Database
from fastapi_app.storage.jobs import BEGUN, at_work, slot_to_row
from fastapi_app.storage.parts import parts
from fastapi_app.storage.tables import jobs, runs, slots

_FIELDS = tuple(Slot.__dataclass_fields__)
_COLUMNS = [slots.c[name] for name in _FIELDS]
_ACTIVE = [str(status) for status in ACTIVE]
_UNSETTLED = [str(state) for state in UNSETTLED]
_MOVED = (
    update(slots)
    .where(slots.c.id == bindparam("slot"))
    .values(
        state=bindparam("after"),
        reason=bindparam("why"),
        finished_at=bindparam("ended"),
        tell_at=bindparam("telling"),
    )
)


@dataclass(frozen=True, slots=True)
class Move:
    """A slot that comes to stand somewhere else. `tell_at` is when a failure is to be told."""

    slot: Slot
    state: SlotState
    reason: str | None = None
    finished_at: float | None = None
    tell_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A slot that was fired and whose run is over; without a run, it was removed."""

    slot: Slot
    status: RunStatus | None
    reason: str | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class Untold:
    """A failure that is to be told, after so many tries."""

    slot: Slot
    tries: int


class SlotStore:
    """Slots in the database. Only `JobStore.claim` makes those of a schedule."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, slot: Slot) -> None:
        """Commit a slot that was asked for."""
        async with self._db.write() as connection:
            await connection.execute(slots.insert(), slot_to_row(slot))

    async def page(
        self, job_id: str, before: tuple[float, str] | None, limit: int
    ) -> list[ShownSlot]:
        """The latest slots of a job, with the status and return code of their runs."""
        statement = (
            select(*_COLUMNS, runs.c.status, runs.c.returncode)
            .select_from(slots.outerjoin(runs, runs.c.id == slots.c.id))
            .where(slots.c.job_id == job_id)
            .order_by(slots.c.at.desc(), slots.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            at, slot_id = before
            statement = statement.where(
                or_(slots.c.at < at, (slots.c.at == at) & (slots.c.id < slot_id))
            )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [_to_shown(row) for row in rows]

    async def latest(self, job_ids: Sequence[str]) -> list[ShownSlot]:
        """The latest slot of each of these jobs, if it has one that does not wait."""
        other = slots.alias()
        latest = (
            select(other.c.id)
            .where(other.c.job_id == jobs.c.id, other.c.state != SlotState.WAITING)
            .order_by(other.c.at.desc())
            .limit(1)
            .scalar_subquery()
        )
        statement = select(*_COLUMNS, runs.c.status, runs.c.returncode).select_from(
            jobs.join(slots, slots.c.id == latest).outerjoin(runs, runs.c.id == slots.c.id)
        )
        found: list[ShownSlot] = []
        for part in parts(job_ids):
            these = statement.where(jobs.c.id.in_(part))
            async with self._db.read() as connection:
                found += map(_to_shown, (await connection.execute(these)).mappings())
        return found

    async def move(self, moves: Sequence[Move]) -> list[Move]:
        """Commit where slots have come to stand, but for those that somebody else has moved.

        Returns what was committed.
        """
        if not moves:
            return []
        standing = (
            select(slots.c.id, slots.c.state)
            .where(slots.c.id.in_([move.slot.id for move in moves]))
            .order_by(slots.c.id)  # two servers must not wait for each other
            .with_for_update()
        )
        async with self._db.write() as connection:
            states = {row.id: row.state for row in await connection.execute(standing)}
            made = [move for move in moves if states.get(move.slot.id) == move.slot.state]
            if made:
                await connection.execute(_MOVED, [_moved_row(move) for move in made])
        return made

    async def ended(self, limit: int) -> list[Ended]:
        """Slots that were fired and whose runs are over, or gone."""
        statement = (
            select(
                *_COLUMNS,
                runs.c.status,
                runs.c.reason.label("why"),
                runs.c.finished_at.label("end"),
            )
            .select_from(slots.outerjoin(runs, runs.c.id == slots.c.id))
            .where(slots.c.state == SlotState.FIRED)
            .where(or_(runs.c.id.is_(None), runs.c.status.not_in(_ACTIVE)))
            .limit(limit)
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [
                Ended(
                    _to_slot(row),
                    _status(row),
                    row["why"],
                    row["end"],
                )
                for row in rows
            ]

    async def left_behind(self, before: float) -> list[Slot]:
        """Slots that were claimed or begun before, and not fired since."""
        begun = slots.c.state.in_(BEGUN)
        statement = select(*_COLUMNS).where(begun, slots.c.decided_at < before)
        return await self._all(statement.limit(1000))

    async def not_begun(self) -> list[tuple[Slot, str | None]]:
        """Slots whose runs were accepted and not begun, with the server that is to begin each."""
        statement = (
            select(*_COLUMNS, runs.c.owner.label("server"))
            .select_from(slots.join(runs, runs.c.id == slots.c.id))
            .where(slots.c.state == SlotState.FIRED, runs.c.status == RunStatus.QUEUED)
            .where(runs.c.attempt == 1, runs.c.boot_id.is_(None))
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [(_to_slot(row), row["server"]) for row in rows]

    async def take(self, slot: Slot, owner: str, now: float) -> bool:
        """Claim a slot that waits, or that its owner has left; false when somebody else did."""
        here = (
            update(slots)
            .where(
                slots.c.id == slot.id,
                slots.c.state == str(slot.state),
                slots.c.owner.is_not_distinct_from(slot.owner),
                slots.c.decided_at == slot.decided_at,
            )
            .values(state=str(SlotState.CLAIMED), owner=owner, decided_at=now)
        )
        async with self._db.write() as connection:
            return (await connection.execute(here)).rowcount == 1

    async def first_waiting(self, limit: int) -> list[Slot]:
        """The earliest slot of each job that waits while nothing of that job is at work."""
        other = slots.alias()
        busy = (
            select(other.c.id)
            .select_from(other.outerjoin(runs, runs.c.id == other.c.id))
            .where(other.c.job_id == slots.c.job_id)
            .where(at_work(other))
            .exists()
        )
        first = (
            select(func.min(other.c.at))
            .where(other.c.job_id == slots.c.job_id, other.c.state == SlotState.WAITING)
            .scalar_subquery()
        )
        statement = select(*_COLUMNS).where(
            slots.c.state == SlotState.WAITING, slots.c.at == first, ~busy
        )
        return await self._all(statement.limit(limit))

    async def drop_waiting(self, job_id: str, reason: str, now: float) -> None:
        """Let no slot of a job wait any more."""
        here = slots.c.job_id == job_id, slots.c.state == SlotState.WAITING
        values = {"state": str(SlotState.SKIPPED), "reason": reason, "finished_at": now}
        async with self._db.write() as connection:
            await connection.execute(update(slots).where(*here).values(values))

    async def untold(self, now: float, limit: int) -> list[Untold]:
        """Failures that are to be told by now."""
        statement = select(*_COLUMNS, slots.c.tries).where(slots.c.tell_at <= now).limit(limit)
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [Untold(_to_slot(row), row["tries"]) for row in rows]

    async def telling(self, untold: Untold, next_at: float | None, due: float) -> bool:
        """Note a try before it is made, and when the next is; false when another server has."""
        here = (
            update(slots)
            .where(
                slots.c.id == untold.slot.id, slots.c.tries == untold.tries, slots.c.tell_at <= due
            )
            .values(tries=untold.tries + 1, tell_at=next_at)
        )
        async with self._db.write() as connection:
            return (await connection.execute(here)).rowcount == 1

    async def told(self, slot: Slot) -> None:
        """Note that nobody need be told any more."""
        async with self._db.write() as connection:
            await connection.execute(
                update(slots).where(slots.c.id == slot.id).values(tell_at=None)
            )

    async def remove_before(self, moment: float) -> int:
        """Forget settled slots of before; returns how many."""
        here = slots.c.state.not_in(_UNSETTLED), slots.c.decided_at < moment
        async with self._db.write() as connection:
            return (await connection.execute(delete(slots).where(*here))).rowcount

    async def _all(self, statement: Any) -> list[Slot]:  # noqa: ANN401 - a select
        async with self._db.read() as connection:
            return [_to_slot(row) for row in (await connection.execute(statement)).mappings()]


def _moved_row(move: Move) -> dict[str, Any]:
    return {
        "slot": move.slot.id,
        "after": str(move.state),
        "why": move.reason,
        "ended": move.finished_at,
        "telling": move.tell_at,
    }


def _to_shown(row: Mapping[Any, Any]) -> ShownSlot:
    return ShownSlot(_to_slot(row), _status(row), row["returncode"])


def _status(row: Mapping[Any, Any]) -> RunStatus | None:
    """Of the run, if there is one."""
    return RunStatus(row["status"]) if row["status"] else None


def _to_slot(row: Mapping[Any, Any]) -> Slot:
    values = {name: row[name] for name in _FIELDS}
    return Slot(**values | {"state": SlotState(values["state"]), "manual": bool(values["manual"])})
