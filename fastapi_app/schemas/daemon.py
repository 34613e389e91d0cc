"""Bodies of `/api/v1/daemon` and of the health checks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class DaemonStatus(BaseModel):
    """The whole service."""

    running: bool = Field(description="Whether the daemon takes work")
    pid: int
    version: str
    uptime_seconds: float
    home: str
    database: str = Field(description="Without its password")
    active_runs: int
    queued_runs: int
    active_processes: int
    commands: int


class Liveness(BaseModel):
    """The server answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """The server can work."""

    status: Literal["ready"] = "ready"
