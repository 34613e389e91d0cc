"""Bodies of `/api/v1/daemon/processes`, and the messages about processes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fastapi_app.schemas.documents import Count
from fastapi_app.schemas.fields import (
    LONGEST_TIMEOUT,
    Arguments,
    Environment,
    Flag,
    Name,
    ShellText,
    Text,
    Timestamp,
)
from fastapi_app.supervision import Backoff, Health, HealthCheck, Plan, ProcessState, Restart

LONGEST_NAME = 200


def _not_a_route(value: str) -> str:
    if value in {".", "..", "run"}:
        raise ValueError("must not be '.', '..' or 'run': routes have these names")
    return value


def _http(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


ProcessName = Annotated[
    Name,
    Field(examples=["web"], description="Unique, whatever the case of its letters"),
    AfterValidator(_not_a_route),
]
Command = Annotated[
    ShellText,
    Field(
        examples=["python3 -m http.server 8080 --bind 127.0.0.1"],
        description="Run by `/bin/sh -c`; with `args` a program, without a shell",
    ),
]
Folder = Annotated[Text, Field(description="Working folder; the server's without it")]
Url = Annotated[
    Text,
    Field(max_length=2000, examples=["http://127.0.0.1:8080/"], description="2xx, 3xx is healthy"),
    AfterValidator(_http),
]
Pause = Annotated[
    float, Field(strict=True, ge=0.01, le=LONGEST_TIMEOUT, allow_inf_nan=False, description="s")
]
Span = Annotated[
    float, Field(strict=True, ge=0, le=LONGEST_TIMEOUT, allow_inf_nan=False, description="Seconds")
]


class BackoffBody(BaseModel):
    """How long to wait before a restart, and when to give up."""

    model_config = ConfigDict(extra="forbid")

    delay: Pause = Field(
        1.0, description="Seconds before the first restart; then twice as long each"
    )
    longest: Pause = Field(60.0, description="Seconds a restart waits at most")
    reset_after: Span = Field(
        60.0, description="Seconds after which a run that is up begins the count anew"
    )
    give_up_after: Count | None = Field(
        10, description="Restarts in a row after which there is no other; null: never give up"
    )


class HealthBody(BaseModel):
    """How to find out whether it works: a command that exits with 0, or a URL that answers."""

    model_config = ConfigDict(extra="forbid")

    command: ShellText | None = Field(None, examples=["test -S /run/web.sock"])
    url: Url | None = None
    interval: Pause = Field(30.0, description="Seconds between two checks")
    timeout: Pause = Field(5.0, description="Seconds after which a check has failed, and is killed")
    retries: Annotated[Count, Field(le=1000)] = Field(
        3, description="Failed checks in a row after which it is unhealthy"
    )
    grace: Span = Field(0.0, description="Seconds after its start in which failures do not count")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either `command` or `url`")
        return self


class PlanBody(BaseModel):
    """How a process is looked after."""

    model_config = ConfigDict(extra="forbid")

    restart: Restart = Restart.NO
    backoff: BackoffBody = BackoffBody()
    health: HealthBody | None = None
    autostart: Flag = Field(
        False, description="Start it with the server, unless somebody has stopped it"
    )

    def plan(self, before: Plan | None = None) -> Plan:
        """The same for the services: what is not said stays as it was."""
        before = before or Plan()
        said = self.model_fields_set
        health = None if self.health is None else HealthCheck(**self.health.model_dump())
        return Plan(
            restart=self.restart if "restart" in said else before.restart,
            backoff=Backoff(**self.backoff.model_dump()) if "backoff" in said else before.backoff,
            health=health if "health" in said else before.health,
            autostart=self.autostart if "autostart" in said else before.autostart,
        )


class ProcessRequest(PlanBody):
    """A process to look after."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "web",
                    "command": "python3 -m http.server 8080 --bind 127.0.0.1",
                    "restart": "always",
                    "health": {"url": "http://127.0.0.1:8080/", "interval": 10},
                    "autostart": True,
                }
            ]
        },
    )

    name: ProcessName | None = Field(None, description="Without it the command's first word")
    command: Command
    args: Arguments = []
    cwd: Folder | None = None
    env: Environment = {}

    def chosen_name(self) -> str:
        """The name, or one made of the command."""
        if self.name is not None:
            return self.name
        word = (self.command.split() or [""])[0].rstrip("/").rpartition("/")[2]
        kept = "".join(c for c in word if c.isprintable())[:LONGEST_NAME]
        return kept if kept not in {"", ".", "..", "run"} else "process"


class RunProcessRequest(ProcessRequest):
    """A process to make and start."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "import", "command": "echo done", "detach": False}]
        },
    )

    detach: Flag = Field(True, description="Answer once it is started; else once it is over")

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if not self.detach and self.restart is not Restart.NO:
            raise ValueError("`detach`: false needs `restart`: no, or there may be no end")
        return self


class ProcessChanges(PlanBody):
    """What to change; what is left out stays. What is to be run holds from its next start."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"restart": "on-failure", "env": {"LEVEL": "debug"}}]},
    )

    command: Command | None = None
    args: Arguments | None = None
    cwd: Folder | None = None
    env: Environment | None = None

    @model_validator(mode="after")
    def _kept(self) -> Self:
        for name in ("command", "args", "env"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"`{name}` cannot be null; leave it out to keep it")
        return self


class BackoffAnswer(BaseModel):
    """How long a restart waits, in seconds, and when there is none."""

    delay: float
    longest: float
    reset_after: float
    give_up_after: int | None


class HealthCheckAnswer(BaseModel):
    """How its health is checked. Times are seconds."""

    command: str | None
    url: str | None
    interval: float
    timeout: float
    retries: int
    grace: float


class ProcessAnswer(BaseModel):
    """A process, however it was made."""

    id: str
    name: str
    command: str
    args: list[str]
    cwd: str | None
    env: dict[str, str]
    restart: Restart
    backoff: BackoffAnswer
    health_check: HealthCheckAnswer | None
    autostart: bool
    state: ProcessState
    health: Health | None = Field(description="null: it has no check, or does not run")
    reason: str | None = Field(description="Why it stands there, if there is more to say")
    pid: int | None
    returncode: int | None = Field(description="Of its latest run; negative: that signal")
    run_id: str | None = Field(description="Its latest run, see /api/v1/workflows/{run_id}")
    restarts: int = Field(description="How often it was started again, all in all")
    failures: int = Field(description="Restarts in a row, towards `give_up_after`")
    next_start: Timestamp | None = Field(description="When a restart is due")
    uptime_seconds: float | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    cpu_percent: float | None = Field(description="Of one processor, on average since its start")
    cpu_seconds: float | None
    memory_mb: float | None = Field(description="MiB, with all it has started")
    processes: int | None = Field(description="It, and what it has started")


class ProcessList(BaseModel):
    """Some processes, oldest first."""

    items: list[ProcessAnswer]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")


class ProcessOutcome(ProcessAnswer):
    """A process that was made and started; what it printed, once it was waited for."""

    output: str | None = Field(description="Standard output, as far as it fits")
    error: str | None = Field(description="Standard error, as far as it fits")
    truncated: bool | None = Field(description="There is more at /{id}/logs")


class ProcessEvent(BaseModel):
    """A message of `WS /ws/processes`: all there are, then each as it comes to stand elsewhere."""

    type: Literal["snapshot", "process", "removed"]
    timestamp: Timestamp
    processes: list[ProcessAnswer] | None = Field(None, description="Of a snapshot")
    process: ProcessAnswer | None = Field(None, description="As it stands now")
    id: str | None = Field(None, description="Of what was removed")
