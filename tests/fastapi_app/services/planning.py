"""A planner with a clock of its own, over a real engine and a real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi_app.engine.launch import Scripts
from fastapi_app.metrics import Histogram
from fastapi_app.schedules import (
    Job,
    JobRequest,
    Policy,
    Schedule,
    ScheduleKind,
    Slot,
    SlotState,
    TaskKind,
    Webhook,
)
from fastapi_app.services.audit import AuditService
from fastapi_app.services.commands import CommandService
from fastapi_app.services.job_tasks import JobTasks
from fastapi_app.services.planner import Planner
from fastapi_app.services.runs import RunService
from fastapi_app.services.scheduler import SchedulerService
from fastapi_app.services.workflows import WorkflowService
from fastapi_app.storage.audit import AuditStore
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import open_database
from fastapi_app.storage.jobs import JobStore
from fastapi_app.storage.slots import SlotStore
from fastapi_app.storage.state import StateStore
from tests.fastapi_app.engine.conftest import Bench, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

START = 1_790_000_040.0
"""2026-09-21T14:14:00Z, a whole minute."""


@dataclass
class Clock:
    """Shows what it is set to."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Bed:
    """A planner and all it works with."""

    bench: Bench
    jobs: JobStore
    slots: SlotStore
    scheduler: SchedulerService
    planner: Planner
    workflows: WorkflowService
    commands: CommandService
    state: StateStore
    clock: Clock = field(default_factory=Clock)

    async def job(
        self,
        command: str = "true",
        *,
        name: str = "job",
        every: str = "1m",
        webhook: Webhook | None = None,
        kind: TaskKind = TaskKind.SHELL,
        task: dict[str, Any] | None = None,
        **policy: Any,  # noqa: ANN401 - fields of Policy
    ) -> Job:
        """A job that was scheduled now."""
        request = JobRequest(
            name=name,
            schedule=Schedule(ScheduleKind.EVERY, every),
            kind=kind,
            task={"command": command} if task is None else task,
            policy=Policy(**policy),
            webhook=webhook,
        )
        return await self.scheduler.create(request)

    async def after(self, seconds: float) -> None:
        """Let time pass, and the planner look once."""
        self.clock.now += seconds
        await self.planner.look()

    async def found(self, job: Job) -> list[Slot]:
        """The slots of a job in the order of their moments."""
        return [shown.slot for shown in await self.slots.page(job.id, None, 1000)][::-1]

    async def states(self, job: Job) -> list[tuple[float, SlotState]]:
        """Seconds from the start, and where each slot stands."""
        return [(slot.at - START, slot.state) for slot in await self.found(job)]

    def counted(self, name: str) -> dict[str, float | Histogram]:
        """What the planner tells of itself under a name, by label; zeros left out."""
        (family,) = (one for one in self.planner.metrics() if one.name == name)
        return {"".join(labels): value for labels, value in family.samples if value}

    async def over(self, job: Job) -> None:
        """Wait until all runs of a job are over, and have that noted."""
        for slot in await self.found(job):
            run = await self.bench.runs.get(slot.id)
            if run is not None:
                await self.bench.engine.over(run).wait()
        await self.planner.look()


@asynccontextmanager
async def planning(home: Path, clock: Clock | None = None, **options: float) -> AsyncIterator[Bed]:
    """Open it on the state in `home`."""
    clock = clock or Clock()
    async with opened(home, **options) as bench:
        database = await open_database(f"sqlite+aiosqlite:///{home / 'mcli.db'}")
        state, stored = StateStore(database), CommandStore(database)
        await state.switch_daemon(running=True)
        audit = AuditService(AuditStore(database), retention=0)
        commands = CommandService(stored, audit)
        workflows = WorkflowService(
            engine=bench.engine,
            runs=bench.runs,
            commands=stored,
            state=state,
            scripts=Scripts(home / "work"),
            default_timeout=60,
        )
        runs = RunService(engine=bench.engine, runs=bench.runs, logs=bench.logs)
        tasks = JobTasks(workflows=workflows, runs=runs, commands=commands)
        jobs, slots = JobStore(database), SlotStore(database)
        planner = Planner(
            jobs=jobs, slots=slots, tasks=tasks, room=lambda: bench.engine.room, clock=clock
        )
        scheduler = SchedulerService(
            jobs=jobs, slots=slots, tasks=tasks, planner=planner, audit=audit, clock=clock
        )
        try:
            yield Bed(bench, jobs, slots, scheduler, planner, workflows, commands, state, clock)
        finally:
            await database.aclose()
