"""Bodies of `/api/v1/commands`: what is stored and listed; others are in `command_answers`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fastapi_app.models import Command, Language, RunDefaults
from fastapi_app.schemas.fields import (
    Environment,
    Flag,
    GroupName,
    Name,
    Text,
    Timeout,
    Timestamp,
)


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


RESERVED = frozenset({".", "..", "create", "export", "import", "list", "search", "tags"})
"""Names that could be stored but never be looked up at `/api/v1/commands/{name}`.

Commands that were called so before a word was taken stay: they run, are listed, and are found by
their ids.
"""
LARGEST_SCHEMA = 64 * 1024
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


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:  # UnicodeEncodeError is one, too
        raise ValueError("must be JSON: no lone surrogates, only finite numbers") from error
    if size > LARGEST_SCHEMA:
        raise ValueError(f"is too long: {size} bytes, at most {LARGEST_SCHEMA}")
    return value


ParameterSchema = Annotated[
    dict[str, Any],
    Field(
        description="JSON schema of what a start may give; {} leaves that to the script's header",
        examples=[{"type": "object", "properties": {"count": {"type": "integer", "default": 3}}}],
    ),
    AfterValidator(_schema),
]


class DefaultsBody(BaseModel):
    """What a run of the command gets unless its start says otherwise."""

    model_config = ConfigDict(extra="forbid")

    timeout: Timeout | None = None
    env: Environment = {}
    cwd: Text | None = Field(None, description="Working folder")
    group: GroupName | None = None

    def defaults(self) -> RunDefaults:
        """The same for the services."""
        return RunDefaults(**dict(self))

    @classmethod
    def of(cls, defaults: RunDefaults) -> Self:
        """The defaults as clients see them."""
        return cls.model_validate(defaults, from_attributes=True)


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
    defaults: DefaultsBody = DefaultsBody()
    parameters: ParameterSchema = {}

    def fields(self) -> dict[str, Any]:
        """Every field for the services."""
        return _for_services(dict(self))

    def given(self) -> dict[str, Any]:
        """The fields the client sent, for the services."""
        return _for_services({name: getattr(self, name) for name in self.model_fields_set})


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
    defaults: DefaultsBody | None = Field(None, description="Replaces all of them; {} for none")
    parameters: ParameterSchema | None = None

    def given(self) -> dict[str, Any]:
        """The fields the client sent with a value, for the services."""
        return _for_services({name: value for name, value in self if value is not None})


def _for_services(values: dict[str, Any]) -> dict[str, Any]:
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    if "defaults" in values:
        values["defaults"] = values["defaults"].defaults()
    if "parameters" in values:
        values["parameters"] = values["parameters"] or None
    return values


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
    defaults: DefaultsBody
    parameters: dict[str, Any] = Field(description="The JSON schema it was given, if any")
    declared: dict[str, Any] | None = Field(
        description="What a start is held to: `parameters`, else what the header declares"
    )
    version: int = Field(description="Of its history, the latest")
    namesake: str | None = Field(
        description="Another command, whose name differs from this one's in case alone"
    )

    @classmethod
    def described(
        cls,
        command: Command,
        *,
        version: int,
        declared: Mapping[str, Any] | None,
        namesake: str | None,
    ) -> Self:
        """The command as clients see it, with what else there is to say of it."""
        return cls(
            **dict(CommandSummary.of(command)),
            code=command.code,
            defaults=DefaultsBody.of(command.defaults),
            parameters=dict(command.parameters or {}),
            declared=None if declared is None else dict(declared),
            version=version,
            namesake=namesake,
        )


class CommandList(BaseModel):
    """Some commands, by name."""

    items: list[CommandSummary]
    next_cursor: str | None = Field(description="Hand it back as `cursor`; null at the end")
