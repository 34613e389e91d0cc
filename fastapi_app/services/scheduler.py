"""Scheduled jobs: make, look up, change, pause, run now."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastapi_app.errors import (
    AppError,
    FieldProblem,
    InvalidJobError,
    JobExistsError,
    JobNotFoundError,
)
from fastapi_app.models import Page
from fastapi_app.schedules import Job, JobRequest, Policy, Schedule, ShownSlot, Slot, SlotState
from fastapi_app.services import cursors
from fastapi_app.services.audit import AuditService
from fastapi_app.services.ids import new_id
from fastapi_app.services.job_tasks import JobTasks
from fastapi_app.services.planner import Planner
from fastapi_app.services.slots import first_slot
from fastapi_app.services.timetable import moments, timetable, timetable_of
from fastapi_app.storage.jobs import JobStore
from fastapi_app.storage.slots import Move, SlotStore
from fastapi_app.storage.text import storable

TRIES = 5
"""Of a change that others get in the way of."""


class SchedulerService:
    """Everything that can be done with jobs."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        slots: SlotStore,
        tasks: JobTasks,
        planner: Planner,
        audit: AuditService,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._tasks = tasks
        self._planner = planner
        self._audit = audit
        self._clock = clock

    async def create(self, request: JobRequest) -> Job:
        """Schedule a new job.

        Raises:
            InvalidJobError: schedule, task or policy cannot be.
            JobExistsError: the name is taken, or differs from another in nothing but case.
        """
        now = self._clock()
        job = Job(
            id=new_id(),
            name=request.name,
            description=request.description,
            schedule=request.schedule,
            kind=request.kind,
            task=request.task,
            policy=request.policy,
            webhook=request.webhook,
            created_at=now,
            updated_at=now,
        )
        await self._require_free(job)
        await self._tasks.check(job.kind, job.task)
        job = self._planned(job, now)
        await self._jobs.add(job)
        await self._audit.record("job.create", job.name, detail=_told(job))
        self._planner.wake()
        return job

    async def get(self, job: str) -> Job:
        """A job by its id, or its name.

        Raises:
            JobNotFoundError: there is none.
        """
        found = None
        if storable(job):
            found = await self._jobs.get(job) or await self._jobs.named(job)
        if found is None:
            raise JobNotFoundError(job)
        return found

    async def page(self, cursor: str | None, limit: int) -> Page[Job]:
        """Jobs by name.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        after = cursors.decode_name(cursor) if cursor else None
        found = await self._jobs.page(after, limit + 1)
        items = found[:limit]
        return Page(items, cursors.encode(items[-1].name) if len(found) > limit else None)

    async def change(self, job: str, changes: Callable[[Job], Job]) -> Job:
        """Change a job; with another schedule or policy it is planned anew from now on.

        Raises:
            JobNotFoundError, InvalidJobError, JobExistsError: as `create`.
        """
        for _ in range(TRIES):
            before = await self.get(job)
            now = self._clock()
            after = replace(changes(before), updated_at=now, revision=before.revision + 1)
            if after.name != before.name:
                await self._require_free(after)
            if (after.kind, after.task) != (before.kind, before.task):
                await self._tasks.check(after.kind, after.task)
            replan = (after.schedule, after.policy, after.paused) != (
                before.schedule,
                before.policy,
                before.paused,
            )
            if replan:
                after = self._planned(after, now)
            if await self._jobs.change(after, before.revision, replan=replan):
                await self._audit.record("job.change", after.name, detail=_told(after))
                self._planner.wake()
                return await self.get(after.id)
        raise InvalidJobError([FieldProblem("", "others change it at the same time; try again")])

    async def pause(self, job: str) -> Job:
        """Let no slot be due; those that wait for the run before are let go.

        Raises:
            JobNotFoundError: there is none.
        """
        paused = await self.change(job, lambda found: replace(found, paused=True))
        await self._slots.drop_waiting(paused.id, "the job was paused", self._clock())
        return paused

    async def resume(self, job: str) -> Job:
        """Let slots be due again, from now on: those meanwhile are neither fired nor missed.

        Raises:
            JobNotFoundError: there is none.
        """
        return await self.change(job, lambda found: replace(found, paused=False))

    async def delete(self, job: str) -> None:
        """Forget a job and what became of its slots. Its runs stay, and go on.

        Raises:
            JobNotFoundError: there is none.
        """
        found = await self.get(job)
        if not await self._jobs.delete(found.id):
            raise JobNotFoundError(job)
        await self._audit.record("job.delete", found.name)

    async def run(self, job: str) -> Slot:
        """Do now what the job does, paused or not; this is no slot of its schedule.

        Raises:
            JobNotFoundError: there is none.
            AppError: it cannot be started.
        """
        found = await self.get(job)
        slot = self._planner.claim_of(found)
        await self._slots.add(slot)
        await self._audit.record("job.run", found.name, detail=slot.id)
        try:
            return await self._planner.fire(found, slot)
        except AppError as error:
            await self._planner.move([Move(slot, SlotState.FAILED, error.detail, self._clock())])
            raise

    async def runs(self, job: str, cursor: str | None, limit: int) -> Page[ShownSlot]:
        """What became of the slots of a job, the latest first.

        Raises:
            JobNotFoundError: there is none.
            InvalidCursorError: the cursor is not one of ours.
        """
        found = await self.get(job)
        before = cursors.decode_run(cursor) if cursor else None
        shown = await self._slots.page(found.id, before, limit + 1)
        items = shown[:limit]
        last = items[-1].slot if items else None
        more = len(shown) > limit and last is not None
        return Page(items, cursors.encode(last.at, last.id) if more and last else None)

    async def latest(self, jobs: Sequence[Job]) -> dict[str, ShownSlot]:
        """The latest slot of each of these jobs that something has become of, by the job's id."""
        found = await self._slots.latest([job.id for job in jobs])
        return {shown.slot.job_id: shown for shown in found}

    def preview(self, schedule: Schedule, policy: Policy, count: int) -> Sequence[float]:
        """The next moments of a schedule, without jitter.

        Raises:
            InvalidJobError: it cannot be understood.
        """
        now = self._clock()
        table = timetable(schedule, now)
        start = policy.start
        behind = now if start is None or start <= now else start - 1e-6
        found = moments(table, behind, min(count, policy.max_runs or count))
        return [at for at in found if policy.end is None or at <= policy.end]

    def _planned(self, job: Job, now: float) -> Job:
        """The job with its next slot.

        Raises:
            InvalidJobError: it has none, or its schedule cannot be understood.
        """
        policy = job.policy
        if policy.start is not None and policy.end is not None and policy.end < policy.start:
            raise InvalidJobError([FieldProblem("/end", "lies before the start")])
        table = timetable_of(job)
        done = policy.max_runs is not None and job.fired >= policy.max_runs
        if job.paused or done:
            return replace(job, next_slot=None, due_at=None)
        next_slot, due_at = first_slot(job, table, now)
        if next_slot is None:
            told = "has no moment from now on; it lies in the past, or ends before it begins"
            raise InvalidJobError([FieldProblem("/schedule", told)])
        return replace(job, next_slot=next_slot, due_at=due_at)

    async def _require_free(self, job: Job) -> None:
        other = await self._jobs.named(job.name)
        if other is not None and other.id != job.id:
            raise JobExistsError(job.name, other.name)


def _told(job: Job) -> str:
    return f"{job.schedule.kind} {job.schedule.text} ({job.schedule.zone}), {job.kind}"
