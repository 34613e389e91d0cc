"""Bodies of `/api/v1/workflows` and the events of a run."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastapi_app.models import (
    DEFAULT_GROUP,
    DEFAULT_OPTIONS,
    Limits,
    Retry,
    Run,
    RunKind,
    RunOptions,
    RunRequest,
    RunStatus,
    When,
)
from fastapi_app.schemas.documents import Bytes, Count, Retries, RetryBody
from fastapi_app.schemas.fields import (
    After,
    Arguments,
    Environment,
    Flag,
    Grace,
    GroupName,
    Nice,
    Parameters,
    Priority,
    Secrets,
    ShellText,
    Text,
    Timeout,
    Timestamp,
)


class RunTerms(BaseModel):
    """How a run is to be run; the same for shell text and stored commands."""

    model_config = ConfigDict(extra="forbid")

    timeout: Timeout | None = Field(
        None, description="Seconds; in the foreground the server's own limit without it"
    )
    env: Environment = {}
    secrets: Secrets = {}
    cwd: Text | None = Field(None, description="Working folder; the server's without it")
    group: GroupName | None = Field(
        None, description=f"Without it the command's own, else `{DEFAULT_GROUP}`"
    )
    priority: Priority = 0
    after: After = []
    on: When = Field(When.SUCCESS, description="Which ends of the runs in `after` let it start")
    retries: Retries = RetryBody()
    nice: Nice = 0
    memory_limit: Bytes | None = Field(None, description="Bytes of memory each process may map")
    cpu_limit: Count | None = Field(None, description="Seconds of processor time of each process")
    process_limit: Count | None = Field(
        None, description="Processes its user may have at once; not held for root"
    )
    stdin: Flag = Field(False, description="Keep its standard input open, for POST /{id}/input")

    def request(self) -> RunRequest:
        """The same for the services."""
        options = RunOptions(
            priority=self.priority,
            after=tuple(dict.fromkeys(self.after)),
            when=self.on,
            retry=Retry(**self.retries.model_dump()),
            limits=Limits(self.nice, self.memory_limit, self.cpu_limit, self.process_limit),
            stdin=self.stdin,
        )
        return RunRequest(
            env=self.env,
            secrets=self.secrets,
            cwd=self.cwd,
            timeout=self.timeout,
            group=self.group,
            options=DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options,
        )


class StoredTerms(RunTerms):
    """How a stored command is to be run."""

    args: Arguments = []
    params: Parameters = {}

    def request(self) -> RunRequest:
        """The same for the services."""
        return replace(super().request(), params=self.params)


class ExecuteRequest(StoredTerms):
    """Shell text to run, or a stored command."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"command": "echo hi"}]})

    command: ShellText | None = None
    name: str | None = Field(
        None, min_length=1, description="Of a stored command, instead of `command`"
    )
    background: Flag = Field(False, description="Answer at once; the run goes on by itself")
    stream: Flag = Field(False, description="Answer with events (NDJSON) as they come")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.command is None) == (self.name is None):
            raise ValueError("give `command` or `name`: what is to be run?")
        if self.name is None and (self.args or self.params):
            raise ValueError("`args` and `params` need `name`: shell text has none")
        return self

    @model_validator(mode="after")
    def _in_the_background(self) -> Self:
        if not self.background:
            for name in ("after", "retries", "stdin"):
                if name in self.model_fields_set:
                    raise ValueError(f"`{name}` needs `background`: true")
        return self


class ExecuteAnswer(BaseModel):
    """What became of the command, or that it was accepted."""

    job_id: str = Field(examples=["0192f0c1-7b7a-7c3e-8d54-4f5a3c1b2d10"])
    status: RunStatus = Field(examples=["completed"])
    output: str | None = Field(None, description="Standard output, as far as it fits")
    error: str | None = Field(None, description="Standard error, as far as it fits")
    returncode: int | None = Field(None, description="Negative: ended by that signal")
    truncated: bool | None = Field(None, description="There is more at /{id}/logs")


class StartRequest(StoredTerms):
    """A stored command to start as a background workflow."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "deploy", "args": ["--fast"]}]}
    )

    name: str = Field(min_length=1, examples=["deploy"])


class StartAnswer(BaseModel):
    """The workflow was accepted."""

    job_id: str
    name: str
    status: RunStatus = Field(examples=["queued"])


class LimitsAnswer(BaseModel):
    """What the operating system lets a run use; null is no limit."""

    nice: int
    memory: int | None = Field(description="Bytes")
    cpu: int | None = Field(description="Seconds")
    processes: int | None


class ProgressAnswer(BaseModel):
    """How far a run says it is, in the last `::progress N message` line it printed."""

    percent: float = Field(ge=0, le=100)
    message: str


class RunAnswer(BaseModel):
    """A run, however it was started. Sizes are bytes."""

    id: str
    kind: RunKind
    name: str = Field(description="Of the stored command or process; empty for shell text")
    command: str
    args: list[str]
    env: dict[str, str] = Field(description="What was added; the values of secrets are `***`")
    secrets: list[str] = Field(description="Names of the secret variables")
    cwd: str | None
    group: str
    priority: int
    after: list[str]
    on: When
    retries: RetryBody
    limits: LimitsAnswer
    stdin: bool
    parent_id: str | None = Field(description="The run whose step this is")
    steps: int = Field(description="How many steps it has")
    retry_of: str | None = Field(description="The run that this one repeats")
    status: RunStatus
    reason: str | None = Field(description="Why it ended that way, if there is more to say")
    attempt: int
    not_before: Timestamp | None = Field(description="When the next attempt is due")
    returncode: int | None = Field(description="Negative: ended by that signal")
    pid: int | None
    timeout: float | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    duration_seconds: float | None
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool = Field(description="The log was cut at its limit")

    @classmethod
    def of(cls, run: Run) -> Self:
        """The run as clients see it."""
        return cls.model_validate(_values(run))


class RunDetails(RunAnswer):
    """A run, and how far it says it is."""

    progress: ProgressAnswer | None


class StopAnswer(RunAnswer):
    """The run, now that it is over."""

    signal: str | None = Field(
        description="What ended it; null when it was over already or had not started",
        examples=["SIGTERM"],
    )


class RunList(BaseModel):
    """Some runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")


class RunStatusAnswer(BaseModel):
    """Where a run stands."""

    id: str
    status: RunStatus
    returncode: int | None
    reason: str | None


class WorkflowsStatus(BaseModel):
    """The runner as a whole."""

    running: bool = Field(description="Whether the daemon takes work")
    active_runs: int
    queued_runs: int
    total_runs: int
    uptime_seconds: float
    version: str


class StopRequest(BaseModel):
    """How to stop a run."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"interrupt": True, "grace": 2.5}]}
    )

    interrupt: Flag = Field(False, description="SIGINT first, SIGTERM after the grace period")
    kill: Flag = Field(False, description="SIGKILL at once")
    grace: Grace | None = Field(
        None, description="Seconds between two signals; the server's own without it"
    )


class InputRequest(BaseModel):
    """What to write to the standard input of a run."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"data": "yes\n", "end": True}]}
    )

    data: str = ""
    end: Flag = Field(False, description="Close it behind that: the run reads end of file")


class TransitionAnswer(BaseModel):
    """When a run came to stand where, and why."""

    seq: int = Field(description="Grows with every transition of any run")
    at: Timestamp
    status: RunStatus
    attempt: int
    reason: str | None


class History(BaseModel):
    """Every transition of a run, oldest first."""

    items: list[TransitionAnswer]


class CleanRequest(BaseModel):
    """Which ended runs to forget; every field that is given must match."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"older_than": 604800, "dry_run": True}]}
    )

    older_than: Grace | None = Field(None, description="Seconds since they ended")
    status: list[RunStatus] = []
    group: str | None = None
    name: str | None = None
    dry_run: Flag = Field(False, description="Only count them")


class CleanAnswer(BaseModel):
    """What was forgotten."""

    removed: int = Field(description="Runs")
    bytes: int = Field(description="Bytes that their logs had")


def _values(run: Run) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(run, name) for name in _SHARED}
    options = run.options
    over = run.finished_at is not None and run.started_at is not None
    return values | {
        "args": list(run.args),
        "env": dict(run.env),
        "secrets": list(options.secrets),
        "priority": options.priority,
        "after": list(options.after),
        "on": options.when,
        "retries": asdict(options.retry),
        "limits": asdict(options.limits),
        "stdin": options.stdin,
        "steps": options.steps,
        "retry_of": options.retry_of,
        "duration_seconds": (
            round((run.finished_at or 0) - (run.started_at or 0), 6) if over else None
        ),
    }


def details(run: Run, progress: ProgressAnswer | None) -> RunDetails:
    """The run and how far it is."""
    return RunDetails.model_validate({**_values(run), "progress": progress})


def stop_answer(run: Run, signal: str | None) -> StopAnswer:
    """The stopped run and what ended it."""
    return StopAnswer.model_validate({**_values(run), "signal": signal})


_SHARED = [
    "id", "kind", "name", "command", "cwd", "group", "parent_id", "status", "reason", "attempt",
    "not_before", "returncode", "pid", "timeout", "created_at", "started_at", "finished_at",
    "stdout_bytes", "stderr_bytes", "truncated",
]  # fmt: skip
