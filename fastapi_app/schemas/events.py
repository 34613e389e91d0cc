"""What is told of runs while they run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from fastapi_app.models import RunKind, RunStatus, Stream
from fastapi_app.schemas.fields import Timestamp


class RunEvent(BaseModel):
    """One line of NDJSON, one WebSocket message, or the data of one server-sent event."""

    type: Literal["start", "log", "end"]
    stream: Stream | None = None
    message: str = Field(description="log: text; start: the id; end: the status")
    offset: int = Field(description="Bytes of that stream up to here; go on from there")
    timestamp: str
    job_id: str | None = None
    status: RunStatus | None = None
    returncode: int | None = None
    reason: str | None = None
    since: str | None = Field(None, description="start, of a process: `since` of what comes now")


class StatusEvent(BaseModel):
    """A run has come to stand at `status`."""

    type: Literal["status"] = "status"
    seq: int = Field(description="Grows with every event of any run; go on behind it")
    job_id: str
    name: str
    kind: RunKind
    group: str
    status: RunStatus
    attempt: int
    returncode: int | None = Field(description="Once it is over")
    reason: str | None
    timestamp: Timestamp


class ProgressEvent(BaseModel):
    """A run says how far it is."""

    type: Literal["progress"] = "progress"
    job_id: str
    percent: float = Field(ge=0, le=100)
    message: str
    timestamp: Timestamp
