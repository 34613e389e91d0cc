"""Answers of `/api/v1/scheduler`."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field

from fastapi_app.models import RunStatus
from fastapi_app.schedules import CatchUp, Job, Overlap, ShownSlot, SlotState
from fastapi_app.schemas.fields import Flag, Timestamp
from fastapi_app.schemas.scheduler import ScheduleBody


class SlotAnswer(BaseModel):
    """A moment of a job, and what became of it."""

    id: str = Field(description="Also the id of its run, if it has one")
    job_id: str
    at: Timestamp
    state: SlotState
    reason: str | None
    manual: Flag = Field(description="It was asked for, and is none of the schedule")
    decided_at: Timestamp
    finished_at: Timestamp | None
    status: RunStatus | None = Field(None, description="Of its run")
    returncode: int | None = None

    @classmethod
    def of(cls, shown: ShownSlot) -> Self:
        slot = shown.slot
        return cls(
            id=slot.id,
            job_id=slot.job_id,
            at=slot.at,
            state=slot.state,
            reason=slot.reason,
            manual=slot.manual,
            decided_at=slot.decided_at,
            finished_at=slot.finished_at,
            status=shown.status,
            returncode=shown.returncode,
        )


class WebhookAnswer(BaseModel):
    """Where failures are told."""

    url: str
    signed: bool


class JobAnswer(BaseModel):
    """A job."""

    id: str
    name: str
    description: str
    schedule: dict[str, str | None] = Field(
        description="`cron`, `every`, `at` (one of them) and `timezone`"
    )
    task: dict[str, Any] = Field(description="As it was given; defaults are left out")
    catch_up: CatchUp
    catch_up_window: float
    overlap: Overlap
    jitter: float
    start: Timestamp | None
    end: Timestamp | None
    max_runs: int | None
    on_failure: WebhookAnswer | None
    paused: bool
    next_at: Timestamp | None = Field(description="The next moment of the schedule")
    due_at: Timestamp | None = Field(description="The same with its jitter")
    fired: int = Field(description="Slots that were fired so far")
    last: SlotAnswer | None = Field(
        description="The latest moment that something has become of, asked for or due"
    )
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, job: Job, last: ShownSlot | None) -> Self:
        policy, webhook = job.policy, job.webhook
        return cls(
            id=job.id,
            name=job.name,
            description=job.description,
            schedule=ScheduleBody.of(job.schedule),
            task={"type": str(job.kind), **job.task},
            catch_up=policy.catch_up,
            catch_up_window=policy.window,
            overlap=policy.overlap,
            jitter=policy.jitter,
            start=policy.start,
            end=policy.end,
            max_runs=policy.max_runs,
            on_failure=WebhookAnswer(url=webhook.url, signed=webhook.secret is not None)
            if webhook
            else None,
            paused=job.paused,
            next_at=job.next_slot,
            due_at=job.due_at,
            fired=job.fired,
            last=None if last is None else SlotAnswer.of(last),
            created_at=job.created_at,
            updated_at=job.updated_at,
        )


class JobList(BaseModel):
    """A page of jobs, by name."""

    items: list[JobAnswer]
    next_cursor: str | None


class SlotList(BaseModel):
    """A page of slots, the latest first."""

    items: list[SlotAnswer]
    next_cursor: str | None


class PreviewItem(BaseModel):
    """One moment."""

    at: Timestamp
    local: str = Field(description="On the clock of the time zone, with its offset")


class PreviewAnswer(BaseModel):
    """The next moments of a schedule, without jitter."""

    items: list[PreviewItem]
