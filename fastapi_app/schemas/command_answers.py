"""Bodies of `/api/v1/commands`: history, search, statistics, import and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from fastapi_app.models import (
    Command,
    CommandStats,
    CommandVersion,
    Found,
    FoundBy,
    Language,
    RunStatus,
)
from fastapi_app.schemas.commands import CommandRequest, CommandSummary, DefaultsBody
from fastapi_app.schemas.fields import Timestamp

MAX_ITEMS = 1000
FORMAT: Literal["mcli-commands"] = "mcli-commands"
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class VersionSummary(BaseModel):
    """What a command was at one time, without its code."""

    version: int
    at: Timestamp
    author: str | None = Field(description="Null for what the old API or another program wrote")
    note: str | None = Field(examples=["rolled back to version 2"])
    name: str
    language: Language
    description: str
    group: str
    tags: list[str]

    @classmethod
    def of(cls, version: CommandVersion) -> Self:
        """The version as clients see it."""
        return cls.model_validate(_version(cls, version))


class VersionAnswer(VersionSummary):
    """What a command was at one time."""

    code: str
    defaults: DefaultsBody
    parameters: dict[str, Any]


class VersionList(BaseModel):
    """Some versions, the newest first."""

    items: list[VersionSummary]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")


class FieldChange(BaseModel):
    """A field other than the code that has changed."""

    field: str = Field(examples=["tags"])
    old: Any
    new: Any


class DiffAnswer(BaseModel):
    """What changed from one version to another."""

    old: int = Field(description="Version")
    new: int
    fields: list[FieldChange]
    diff: str = Field(description="Of the code, unified; empty when it is the same")


class RollbackRequest(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": 1}]})

    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class FoundAnswer(BaseModel):
    """A command that was found."""

    command: CommandSummary
    score: float = Field(description="The higher the better, among those of one answer found alike")
    by: FoundBy = Field(description="`name`: it is spelled nearly like what was asked for")

    @classmethod
    def of(cls, found: Found) -> Self:
        """What was found as clients see it."""
        return cls(command=CommandSummary.of(found.command), score=found.score, by=found.by)


class SearchAnswer(BaseModel):
    """What was found, the best first."""

    items: list[FoundAnswer]


class SimilarCommand(BaseModel):
    """A command that is like another."""

    command: CommandSummary
    score: float = Field(ge=0, le=1.001, description="1: the same words")

    @classmethod
    def of(cls, command: Command, score: float) -> Self:
        """The command as clients see it."""
        return cls(command=CommandSummary.of(command), score=score)


class SimilarAnswer(BaseModel):
    """Commands that are like another, the most alike first."""

    items: list[SimilarCommand]


class TagCount(BaseModel):
    """A tag, and how many commands have it."""

    tag: str
    commands: int


class TagList(BaseModel):
    """Every tag, by name."""

    items: list[TagCount]


class LastFailure(BaseModel):
    """The latest run that failed, timed out or was lost."""

    run_id: str
    status: RunStatus
    returncode: int | None
    reason: str | None
    finished_at: Timestamp | None


class StatsAnswer(BaseModel):
    """How the runs of a command went, those that are still known. Durations are seconds."""

    runs: int
    statuses: dict[RunStatus, int]
    success_rate: float | None = Field(
        description="Completed among completed, failed, timed out and lost; null before the first"
    )
    mean_seconds: float | None = Field(
        description="Of runs that completed, failed or timed out; null before the first"
    )
    p50_seconds: float | None
    p95_seconds: float | None
    last_failure: LastFailure | None

    @classmethod
    def of(cls, stats: CommandStats) -> Self:
        """The statistics as clients see them."""
        run = stats.last_failure
        return cls(
            runs=stats.runs,
            statuses=dict(stats.statuses),
            success_rate=stats.success_rate,
            mean_seconds=stats.mean,
            p50_seconds=stats.p50,
            p95_seconds=stats.p95,
            last_failure=run
            and LastFailure(
                run_id=run.id,
                status=run.status,
                returncode=run.returncode,
                reason=run.reason,
                finished_at=run.finished_at,
            ),
        )


class ImportRequest(BaseModel):
    """Commands to store, as an export has them; of an item only `name` and `code` are required.

    What an item leaves out stays as it is, or is the default of a new command.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"name": "hello", "code": "echo hello"}]}]},
    )

    format: Literal["mcli-commands"] = FORMAT
    version: Literal[1] = 1
    items: Annotated[list[CommandRequest], Field(max_length=MAX_ITEMS)]
    next_cursor: str | None = Field(None, description="Of the export; not used")


class ImportedItem(BaseModel):
    """What became, or would become, of one item."""

    name: str
    outcome: Literal["created", "updated", "unchanged", "conflict"]
    changed: list[str] = Field(description="Fields that differ from what was there")


class ImportAnswer(BaseModel):
    """What an import has done, or would do."""

    dry_run: bool
    items: list[ImportedItem]


class ExportedCommand(BaseModel):
    """All that is needed to store a command elsewhere."""

    name: str
    code: str
    language: Language
    description: str
    group: str
    tags: list[str]
    is_active: bool
    defaults: DefaultsBody
    parameters: dict[str, Any]

    @classmethod
    def of(cls, command: Command) -> Self:
        """The command as it is exported."""
        values = {name: getattr(command, name) for name in cls.model_fields}
        values |= {
            "tags": list(command.tags),
            "defaults": DefaultsBody.of(command.defaults),
            "parameters": command.parameters or {},
        }
        return cls.model_validate(values)


class ExportAnswer(BaseModel):
    """Some commands, by name; an import takes it as it is."""

    format: Literal["mcli-commands"] = FORMAT
    version: Literal[1] = 1
    items: list[ExportedCommand]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")


def version_answer(version: CommandVersion) -> VersionAnswer:
    """A version with all there is of it."""
    return VersionAnswer.model_validate(_version(VersionAnswer, version))


def diff_answer(
    old: CommandVersion, new: CommandVersion, fields: Sequence[str], diff: str
) -> DiffAnswer:
    """What changed, with both values of each field."""
    before, after = (version_answer(v).model_dump(mode="json") for v in (old, new))
    changes = [FieldChange(field=name, old=before[name], new=after[name]) for name in fields]
    return DiffAnswer(old=old.version, new=new.version, fields=changes, diff=diff)


def _version(model: type[BaseModel], version: CommandVersion) -> dict[str, Any]:
    values = {name: getattr(version, name) for name in model.model_fields}
    values |= {
        "author": version.author or None,
        "note": version.note or None,
        "tags": list(version.tags),
    }
    if "defaults" in values:
        values["defaults"] = DefaultsBody.of(version.defaults)
        values["parameters"] = dict(version.parameters or {})
    return values
