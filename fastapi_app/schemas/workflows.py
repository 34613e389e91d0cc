"""Bodies of `/api/v1/workflows` and the events of a run."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from fastapi_app.models import Run, RunKind, RunStatus, Stream
from fastapi_app.schemas.fields import (
    Arguments,
    Environment,
    Flag,
    ShellText,
    Text,
    Timeout,
    Timestamp,
)


class ExecuteRequest(BaseModel):
    """Shell text to run."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"command": "echo hi"}]}
    )

    command: ShellText
    background: Flag = Field(False, description="Answer at once; the run goes on by itself")
    stream: Flag = Field(False, description="Answer with events (NDJSON) as they come")
    timeout: Timeout | None = Field(
        None, description="Seconds; in the foreground the server's own limit without it"
    )
    env: Environment = {}
    cwd: Text | None = Field(None, description="Working folder; the server's without it")


class ExecuteAnswer(BaseModel):
    """What became of the command, or that it was accepted."""

    job_id: str = Field(examples=["0192f0c1-7b7a-7c3e-8d54-4f5a3c1b2d10"])
    status: RunStatus = Field(examples=["completed"])
    output: str | None = Field(None, description="Standard output, as far as it fits")
    error: str | None = Field(None, description="Standard error, as far as it fits")
    returncode: int | None = Field(None, description="Negative: ended by that signal")
    truncated: bool | None = Field(None, description="There is more at /{id}/logs")


class StartRequest(BaseModel):
    """A stored command to start as a background workflow."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "deploy", "args": ["--fast"]}]}
    )

    name: str = Field(min_length=1, examples=["deploy"])
    args: Arguments = []
    env: Environment = {}
    timeout: Timeout | None = None


class StartAnswer(BaseModel):
    """The workflow was accepted."""

    job_id: str
    name: str
    status: RunStatus = Field(examples=["queued"])


class RunAnswer(BaseModel):
    """A run, however it was started. Sizes are bytes."""

    id: str
    kind: RunKind
    name: str = Field(description="Of the stored command or process; empty for shell text")
    command: str
    args: list[str]
    cwd: str | None
    status: RunStatus
    reason: str | None = Field(description="Why it ended that way, if there is more to say")
    attempt: int
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


class RunEvent(BaseModel):
    """One line of NDJSON, or one WebSocket message."""

    type: Literal["start", "log", "end"]
    stream: Stream | None = None
    message: str = Field(description="log: text; start: the id; end: the status")
    offset: int = Field(description="Bytes of that stream up to here; go on from there")
    timestamp: str
    job_id: str | None = None
    status: RunStatus | None = None
    returncode: int | None = None
    reason: str | None = None


def _values(run: Run) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(run, name) for name in _SHARED}
    over = run.finished_at is not None and run.started_at is not None
    values["args"] = list(run.args)
    values["duration_seconds"] = (
        round((run.finished_at or 0) - (run.started_at or 0), 6) if over else None
    )
    return values


def stop_answer(run: Run, signal: str | None) -> StopAnswer:
    """The stopped run and what ended it."""
    return StopAnswer.model_validate({**_values(run), "signal": signal})


_SHARED = [name for name in RunAnswer.model_fields if name not in {"args", "duration_seconds"}]
