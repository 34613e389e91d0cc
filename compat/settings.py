"""Settings of the dual server: those of the new app, and where and how the old contract listens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from compat.stages import Stage
from fastapi_app.settings import Settings


class DualSettings(Settings):
    """Both stacks in one process."""

    legacy_host: str = Field("127.0.0.1", description="Address the old contract listens on")
    legacy_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        5005, description="Port of the old contract; 0 takes a free one"
    )
    legacy_threads: Annotated[int, Field(ge=1, le=1000)] = Field(
        32, description="Threads of the mounted old stack"
    )
    legacy_queue: Annotated[int, Field(ge=0)] = Field(
        256, description="Calls that may wait for such a thread; one more is shed with 503"
    )
    default_stage: Stage = Field(
        Stage.NEW, description="Stage of every route that was never set: legacy or new"
    )
