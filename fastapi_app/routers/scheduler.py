"""`/api/v1/scheduler`: jobs that are due again and again, or once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path, Response

from fastapi_app.dependencies.parameters import Cursor, Limit
from fastapi_app.dependencies.services import Scheduler
from fastapi_app.routing import Router
from fastapi_app.schedules import Job, ShownSlot
from fastapi_app.schemas.problems import documented
from fastapi_app.schemas.scheduler import JobBody, JobChanges, PreviewBody
from fastapi_app.schemas.scheduler_answers import (
    JobAnswer,
    JobList,
    PreviewAnswer,
    PreviewItem,
    SlotAnswer,
    SlotList,
)
from fastapi_app.security import requires
from fastapi_app.services.scheduler import SchedulerService
from fastapi_app.services.timetable import as_text

router = Router(prefix="/api/v1/scheduler", tags=["scheduler"])

JobId = Annotated[str, Path(description="Its id, or its name")]


@router.post(
    "/jobs",
    dependencies=[requires("scheduler:write")],
    response_model=JobAnswer,
    status_code=201,
    responses=documented(400, 409, 413, 422, 503),
)
async def create(body: JobBody, scheduler: Scheduler, response: Response) -> JobAnswer:
    """Schedule a job."""
    job = await scheduler.create(body.request())
    response.headers["Location"] = f"{router.prefix}/jobs/{job.id}"
    return JobAnswer.of(job, None)


@router.get(
    "/jobs",
    dependencies=[requires("scheduler:read")],
    response_model=JobList,
    responses=documented(422, 503),
)
async def list_jobs(scheduler: Scheduler, limit: Limit = 50, cursor: Cursor = None) -> JobList:
    """Jobs by name."""
    page = await scheduler.page(cursor, limit)
    return JobList(items=await _answers(scheduler, page.items), next_cursor=page.next_cursor)


@router.get(
    "/jobs/{job}",
    dependencies=[requires("scheduler:read")],
    response_model=JobAnswer,
    responses=documented(404, 503),
)
async def show(job: JobId, scheduler: Scheduler) -> JobAnswer:
    """One job."""
    return await _answer(scheduler, await scheduler.get(job))


@router.patch(
    "/jobs/{job}",
    dependencies=[requires("scheduler:write")],
    response_model=JobAnswer,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def change(job: JobId, body: JobChanges, scheduler: Scheduler) -> JobAnswer:
    """Change what is given. With another schedule or policy it is planned anew from now on."""
    return await _answer(scheduler, await scheduler.change(job, body.applied))


@router.delete(
    "/jobs/{job}",
    dependencies=[requires("scheduler:write")],
    status_code=204,
    responses=documented(404, 503),
)
async def delete(job: JobId, scheduler: Scheduler) -> None:
    """Forget a job. Its runs stay, and go on."""
    await scheduler.delete(job)


@router.post(
    "/jobs/{job}/run",
    dependencies=[requires("scheduler:write")],
    response_model=SlotAnswer,
    status_code=202,
    responses=documented(404, 409, 422, 503),
)
async def run(job: JobId, scheduler: Scheduler) -> SlotAnswer:
    """Do now what the job does, whatever its schedule says, and whether or not it still runs."""
    return SlotAnswer.of(ShownSlot(await scheduler.run(job), None, None))


@router.post(
    "/jobs/{job}/pause",
    dependencies=[requires("scheduler:write")],
    response_model=JobAnswer,
    responses=documented(404, 422, 503),
)
async def pause(job: JobId, scheduler: Scheduler) -> JobAnswer:
    """Fire no slot any more; what runs goes on."""
    return await _answer(scheduler, await scheduler.pause(job))


@router.post(
    "/jobs/{job}/resume",
    dependencies=[requires("scheduler:write")],
    response_model=JobAnswer,
    responses=documented(404, 422, 503),
)
async def resume(job: JobId, scheduler: Scheduler) -> JobAnswer:
    """Fire slots again, from now on."""
    return await _answer(scheduler, await scheduler.resume(job))


@router.get(
    "/jobs/{job}/runs",
    dependencies=[requires("scheduler:read")],
    response_model=SlotList,
    responses=documented(404, 422, 503),
)
async def runs(
    job: JobId, scheduler: Scheduler, limit: Limit = 50, cursor: Cursor = None
) -> SlotList:
    """What became of the slots of a job, the latest first."""
    page = await scheduler.runs(job, cursor, limit)
    return SlotList(
        items=[SlotAnswer.of(shown) for shown in page.items], next_cursor=page.next_cursor
    )


@router.post(
    "/preview",
    dependencies=[requires("scheduler:read")],
    response_model=PreviewAnswer,
    responses=documented(400, 413, 422, 503),
)
async def preview(body: PreviewBody, scheduler: Scheduler) -> PreviewAnswer:
    """The next moments of a schedule; nothing is stored."""
    schedule = body.schedule.schedule()
    found = scheduler.preview(schedule, body.policy(), body.count)
    return PreviewAnswer(
        items=[PreviewItem(at=at, local=as_text(at, schedule.zone)) for at in found]
    )


async def _answer(scheduler: SchedulerService, job: Job) -> JobAnswer:
    (answer,) = await _answers(scheduler, [job])
    return answer


async def _answers(scheduler: SchedulerService, jobs: Sequence[Job]) -> list[JobAnswer]:
    latest = await scheduler.latest(jobs)
    return [JobAnswer.of(job, latest.get(job.id)) for job in jobs]
