"""What a supervisor knows of a process, and what it does when a run of one is over. Free of I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fastapi_app.models import Process, Run, RunStatus

LARGEST_POWER = 64
"""Beyond it the back-off is at its longest anyway, and numbers must not overflow."""


class Restart(StrEnum):
    """After which ends of its run a process is started again."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Wanted(StrEnum):
    """What somebody has asked for last."""

    RUNNING = "running"
    STOPPED = "stopped"


class Ending(StrEnum):
    """Why the supervisor itself ends a run."""

    RESTART = "restart"
    UNHEALTHY = "unhealthy"


class ProcessState(StrEnum):
    """Where a process stands. In the first three it runs, or will by itself."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    CREATED = "created"
    EXITED = "exited"
    STOPPED = "stopped"
    FAILED = "failed"
    GAVE_UP = "gave_up"


class Health(StrEnum):
    """What the checks of a running process have found."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How to find out whether a process works: a command that exits with 0, or a URL that answers.

    Times are seconds. It is unhealthy after `retries` checks in a row have failed; those that fail
    in the first `grace` seconds do not count.
    """

    command: str | None = None
    url: str | None = None
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart. Times are seconds.

    The first waits `delay`, each one after it twice as long, up to `longest`. A run that was up for
    `reset_after` begins the count anew. After `give_up_after` restarts in a row there is no other
    (`None`: never that).
    """

    delay: float = 1.0
    longest: float = 60.0
    reset_after: float = 60.0
    give_up_after: int | None = 10

    def before(self, restart: int) -> float:
        """Seconds before that restart; the first is 1."""
        return min(self.longest, self.delay * 2.0 ** min(restart - 1, LARGEST_POWER))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a process is looked after. `autostart`: it is started when the server is."""

    restart: Restart = Restart.NO
    backoff: Backoff = field(default_factory=Backoff)
    health: HealthCheck | None = None
    autostart: bool = False


@dataclass(frozen=True, slots=True)
class Supervision:
    """What is known of a process besides its description.

    `owner` is the server that looks after it. `run_id` is the run it was last known to be started
    as, and `decided` the last whose end has been dealt with. `ending` says why the run `ending_run`
    is being ended. `restarts` counts all of them, `failures` those in a row.
    """

    process_id: str
    plan: Plan = field(default_factory=Plan)
    wanted: Wanted | None = None
    owner: str | None = None
    run_id: str | None = None
    decided: str | None = None
    ending_run: str | None = None
    ending: Ending | None = None
    restarts: int = 0
    failures: int = 0
    gave_up: bool = False
    health: Health | None = None
    health_detail: str | None = None

    def ending_of(self, run_id: str) -> Ending | None:
        """Why the supervisor ends this run, if it does."""
        return self.ending if self.ending_run == run_id else None


@dataclass(frozen=True, slots=True)
class ManagedProcess:
    """A process, the run it was last started as, and how it is looked after, if it is."""

    process: Process
    run: Run | None
    known: Supervision | None = None

    @property
    def running(self) -> bool:
        """Whether it runs, or will by itself."""
        return self.run is not None and not self.run.status.final

    @property
    def state(self) -> ProcessState:
        return state_of(self.run, self.known)


@dataclass(frozen=True, slots=True)
class Usage:
    """What runs cost now: processes, the seconds of processor time they have used, and bytes."""

    processes: int
    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Stay:
    """There is no restart: the process was stopped, is done, or it `gave_up`."""

    stopped: bool = False
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """The process is started again in `delay` seconds."""

    delay: float
    failures: int


def decide(known: Supervision, run: Run) -> Stay | Again:
    """What follows the end of `run`."""
    plan, ending = known.plan, known.ending_of(run.id)
    if known.wanted is Wanted.STOPPED:
        return Stay(stopped=True)
    if ending is Ending.RESTART:
        return Again(0.0, 0)
    if run.status is RunStatus.CANCELLED and ending is None:  # somebody stopped it, by either stack
        return Stay(stopped=True)
    if plan.restart is Restart.NO or (
        plan.restart is Restart.ON_FAILURE and run.status is RunStatus.COMPLETED
    ):
        return Stay()
    # Once it was up for long enough, what was before is forgiven.
    failures = 1 if _uptime(run) >= plan.backoff.reset_after else known.failures + 1
    most = plan.backoff.give_up_after
    if most is not None and failures > most:
        return Stay(gave_up=True)
    return Again(plan.backoff.before(failures), failures)


def state_of(run: Run | None, known: Supervision | None) -> ProcessState:
    """Where a process stands whose latest run is `run`."""
    if run is None:
        return ProcessState.CREATED
    if run.status is RunStatus.QUEUED:
        return ProcessState.STARTING if run.not_before is None else ProcessState.BACKOFF
    if run.status is RunStatus.RUNNING:
        return ProcessState.RUNNING
    if known is not None and known.gave_up:
        return ProcessState.GAVE_UP
    if run.status is RunStatus.COMPLETED:
        return ProcessState.EXITED
    return ProcessState.STOPPED if run.status is RunStatus.CANCELLED else ProcessState.FAILED


def _uptime(run: Run) -> float:
    if run.started_at is None or run.finished_at is None or run.pid is None:
        return -1.0  # it never was up
    return max(0.0, run.finished_at - run.started_at)
