"""Bodies of `/api/v1/sync`."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from fastapi_app.schemas.fields import Flag, Name
from fastapi_app.sync_models import (
    BothSides,
    Difference,
    Kind,
    Note,
    Order,
    Outcome,
    Progress,
    Status,
    Verification,
)

Names = Annotated[list[Name], Field(max_length=10_000)]
Standing = Literal["same", "differs", "missing"]


class SyncRequest(BaseModel):
    """What to synchronise."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    names: Names = Field([], description="Only these; all without any")
    take: Names = Field([], description="Of these the other side is given up, conflict or not")
    prune: Flag = Field(False, description="Delete over there what was deleted here")
    dry_run: Flag = Field(False, description="Only tell what would be done")

    def order(self) -> Order:
        """The same for the service."""
        return Order(tuple(self.names), tuple(self.take), self.prune, self.dry_run)


class WatchRequest(BaseModel):
    """What to do with scripts that are deleted while the folder is watched."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"prune": False}]})

    prune: Flag = Field(False, description="Delete from the store what is deleted")


class Line(BaseModel):
    """A script, and what became of it: added, modified, deleted."""

    name: str
    change: Kind


class DifferenceLine(BaseModel):
    """What each side has done to a script since both were alike; null is nothing."""

    name: str
    folder: Kind | None
    store: Kind | None

    @classmethod
    def of(cls, found: Difference) -> Self:
        """The difference as clients see it."""
        return cls(name=found.name, folder=found.folder, store=found.store)


class NoteLine(BaseModel):
    """What is to be said of a file, or of a command that has none."""

    about: str
    detail: str

    @classmethod
    def of(cls, note: Note) -> Self:
        """The note as clients see it."""
        return cls(about=note.about, detail=note.detail)


class SyncStatus(BaseModel):
    """What differs between the folder and the store."""

    folder: str = Field(description="Path on the server's machine")
    unchanged: int = Field(description="Scripts that are alike on both sides")
    push: list[Line] = Field(description="What the folder has done")
    pull: list[Line] = Field(description="What the store has done")
    conflicts: list[DifferenceLine] = Field(description="What both have done, differently")
    problems: list[NoteLine] = Field(description="What is left alone, and why")
    warnings: list[NoteLine]

    @classmethod
    def of(cls, found: Status) -> Self:
        """The status as clients see it."""
        one_sided = [d for d in found.differences if not d.conflict]
        return cls(
            folder=found.folder,
            unchanged=found.unchanged,
            push=[Line(name=d.name, change=d.folder) for d in one_sided if d.folder],
            pull=[Line(name=d.name, change=d.store) for d in one_sided if d.store],
            conflicts=[DifferenceLine.of(d) for d in found.differences if d.conflict],
            problems=[NoteLine.of(note) for note in found.problems],
            warnings=[NoteLine.of(note) for note in found.warnings],
        )


class SyncOutcome(BaseModel):
    """What was done, and what was not."""

    folder: str = Field(description="Path on the server's machine")
    dry_run: bool
    unchanged: int = Field(description="Scripts that were alike on both sides before")
    done: list[Line]
    kept: list[Line] = Field(description="Deletions over here that only `prune` does over there")
    conflicts: list[DifferenceLine] = Field(description="Left alone on both sides")
    problems: list[NoteLine] = Field(description="What is left alone, and why")
    warnings: list[NoteLine]

    @classmethod
    def of(cls, found: Outcome) -> Self:
        """The outcome as clients see it."""
        return cls(
            folder=found.folder,
            dry_run=found.dry_run,
            unchanged=found.unchanged,
            done=[Line(name=step.name, change=step.kind) for step in found.done],
            kept=[Line(name=step.name, change=step.kind) for step in found.kept],
            conflicts=[DifferenceLine.of(d) for d in found.conflicts],
            problems=[NoteLine.of(note) for note in found.problems],
            warnings=[NoteLine.of(note) for note in found.warnings],
        )


class CheckedEntry(BaseModel):
    """An entry of the lock that is not what one of the sides has."""

    name: str
    file: str
    folder: Standing
    store: Standing


class VerifyAnswer(BaseModel):
    """How the lock stands to both sides, every script read anew."""

    folder: str = Field(description="Path on the server's machine")
    ok: bool = Field(description="Nothing is wrong, missing or left alone")
    checked: int = Field(description="Entries of the lock")
    wrong: list[CheckedEntry]
    unlocked: list[str] = Field(description="Alike on both sides, but not in the lock")
    problems: list[NoteLine]

    @classmethod
    def of(cls, found: Verification) -> Self:
        """The verification as clients see it."""
        wrong = [CheckedEntry.model_validate(e, from_attributes=True) for e in found.wrong]
        return cls(
            folder=found.folder,
            ok=not (found.wrong or found.unlocked or found.problems),
            checked=found.checked,
            wrong=wrong,
            unlocked=list(found.unlocked),
            problems=[NoteLine.of(note) for note in found.problems],
        )


class BothSidesAnswer(BaseModel):
    """A script as both sides have it."""

    name: str
    path: str = Field(description="In the folder")
    folder: str | None = Field(description="Its code there; null when it is not there")
    store: str | None = Field(description="Its code there; null when it is not there")
    diff: str = Field(description="Unified, from the store to the folder; empty when alike")

    @classmethod
    def of(cls, found: BothSides) -> Self:
        """The same as clients see it."""
        return cls.model_validate(found, from_attributes=True)


class SyncEvent(BaseModel):
    """A line of a stream: how far it is, what came of it, or why it went no further."""

    type: Literal["progress", "result", "error"]
    done: int | None = None
    total: int | None = None
    result: SyncOutcome | None = None
    code: str | None = Field(None, description="Stable name of the failure")
    detail: str | None = None

    @classmethod
    def of(cls, found: Progress | Outcome) -> Self:
        """The event as clients see it."""
        if isinstance(found, Progress):
            return cls(type="progress", done=found.done, total=found.total)
        return cls(type="result", result=SyncOutcome.of(found))

    def line(self) -> bytes:
        """A line of NDJSON."""
        values = self.model_dump(mode="json")
        kept = {name: value for name, value in values.items() if value is not None}
        return json.dumps(kept, separators=(",", ":")).encode() + b"\n"
