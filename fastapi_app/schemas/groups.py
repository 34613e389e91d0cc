"""Bodies of `/api/v1/groups`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Slots = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class GroupRequest(BaseModel):
    """How a group is to be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"slots": 2}]})

    slots: Slots | None = Field(None, description="Runs at once; null: as many as there may be")


class GroupAnswer(BaseModel):
    """A group, and what its runs do."""

    name: str
    slots: int | None
    paused: bool
    running: int = Field(description="Runs that hold a slot")
    queued: int = Field(description="Runs that wait for one")


class GroupList(BaseModel):
    """Every group, by name."""

    items: list[GroupAnswer]
