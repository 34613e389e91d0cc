"""Bodies of `/api/v1/commands`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fastapi_app.models import Command, Language
from fastapi_app.schemas.fields import Flag, Name, Timestamp


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("is not valid Unicode") from error
    return value


def _not_a_route(value: str) -> str:
    if value in RESERVED:
        raise ValueError(
            f"must not be one of {', '.join(sorted(RESERVED))}: routes have these names"
        )
    return value


RESERVED = frozenset({".", "..", "create", "list"})
"""Names that could be stored but never be looked up at `/api/v1/commands/{name}`."""
CommandName = Annotated[Name, AfterValidator(_not_a_route)]
Code = Annotated[
    str, Field(min_length=1, examples=["echo deploying $1"]), AfterValidator(_storable)
]
Description = Annotated[
    str, Field(max_length=10_000, examples=["Roll out a release"]), AfterValidator(_storable)
]
Group = Annotated[str, Field(max_length=200, examples=["ops"]), AfterValidator(_storable)]
Tag = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Tags = Annotated[list[Tag], Field(max_length=100, examples=[["release"]])]


class CommandRequest(BaseModel):
    """A script to store."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "deploy", "code": "echo deploying $1", "language": "shell"}]
        },
    )

    name: CommandName
    code: Code
    language: Language = Language.SHELL
    description: Description = ""
    group: Group = ""
    tags: Tags = []
    is_active: Flag = True


class CommandChanges(BaseModel):
    """The fields to change; the others stay."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"description": "Roll back a release"}]}
    )

    name: CommandName | None = None
    code: Code | None = None
    language: Language | None = None
    description: Description | None = None
    group: Group | None = None
    tags: Tags | None = None
    is_active: Flag | None = None

    def given(self) -> dict[str, Any]:
        """The fields the client sent with a value."""
        values = self.model_dump(exclude_none=True)
        return values | ({"tags": tuple(values["tags"])} if "tags" in values else {})


class CommandSummary(BaseModel):
    """A stored command without its code."""

    id: str
    name: str
    description: str
    language: Language
    group: str
    tags: list[str]
    is_active: bool
    created_at: Timestamp
    updated_at: Timestamp
    execution_count: int
    last_executed: Timestamp | None

    @classmethod
    def of(cls, command: Command) -> Self:
        """The command as clients see it."""
        values = {name: getattr(command, name) for name in cls.model_fields}
        return cls.model_validate({**values, "tags": list(command.tags)})


class CommandAnswer(CommandSummary):
    """A stored command."""

    code: str


class CommandList(BaseModel):
    """Some commands, by name."""

    items: list[CommandSummary]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")
