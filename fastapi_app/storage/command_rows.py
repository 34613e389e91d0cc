"""Rows of stored commands, and of their versions, to models and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from fastapi_app.models import NO_DEFAULTS, Command, CommandVersion, Language, RunDefaults

SUMMARY = (
    *("id", "name", "language", "created_at", "updated_at", "description", "group_name", "tags"),
    *("execution_count", "last_executed", "is_active"),
)
"""The columns that lists show."""
_LANGUAGES = {str(language): language for language in Language}


@lru_cache(1024)
def _tags(text: str) -> tuple[str, ...]:
    """Tags as they are stored; many commands have the same, or none."""
    return tuple(json.loads(text))


def command_to_row(command: Command) -> dict[str, Any]:
    """Every column of a command."""
    return {
        "id": command.id,
        "name": command.name,
        "description": command.description,
        "code": command.code,
        "language": str(command.language),
        "group_name": command.group,
        "tags": json.dumps(command.tags),
        "created_at": command.created_at,
        "updated_at": command.updated_at,
        "execution_count": command.execution_count,
        "last_executed": command.last_executed,
        "is_active": command.is_active,
        "options": _options(command.defaults, command.parameters),
    }


def row_to_command(values: Mapping[Any, Any]) -> Command:
    """The command that was stored so."""
    return Command(
        id=values["id"],
        created_at=values["created_at"],
        updated_at=values["updated_at"],
        execution_count=values["execution_count"],
        last_executed=values["last_executed"],
        is_active=bool(values["is_active"]),
        **_said(values),
    )


def row_to_summary(values: Sequence[Any]) -> Command:
    """The command whose columns `SUMMARY` these are; its code is left out."""
    (key, name, language, created, updated, said, group, tags, count, last, active) = values
    return Command(
        key,
        name,
        "",
        _LANGUAGES[language],
        created,
        updated,
        said,
        group,
        _tags(tags),
        count,
        last,
        bool(active),
    )


def row_to_version(values: Mapping[Any, Any]) -> CommandVersion:
    """The version that was kept so."""
    return CommandVersion(
        version=values["version"],
        at=values["at"],
        author=values["author"],
        note=values["note"],
        **_said(values),
    )


def _said(values: Mapping[Any, Any]) -> dict[str, Any]:
    """What commands and their versions have in common."""
    defaults, parameters = _read_options(values["options"])
    return {
        "name": values["name"],
        "code": values["code"],
        "language": _LANGUAGES[values["language"]],
        "description": values["description"],
        "group": values["group_name"],
        "tags": _tags(values["tags"]),
        "defaults": defaults,
        "parameters": parameters,
    }


def _options(defaults: RunDefaults, parameters: Mapping[str, Any] | None) -> str | None:
    """What differs from nothing at all; `None`, as for most commands, when nothing does.

    The same options make the same text: a version is kept when it changes.
    """
    values: dict[str, Any] = {}
    if defaults != NO_DEFAULTS:
        values["defaults"] = asdict(defaults) | {"env": dict(sorted(defaults.env.items()))}
    if parameters is not None:
        values["parameters"] = parameters
    return json.dumps(values) if values else None


def _read_options(text: str | None) -> tuple[RunDefaults, Mapping[str, Any] | None]:
    if text is None:
        return NO_DEFAULTS, None
    values: dict[str, Any] = json.loads(text)
    defaults = values.get("defaults")
    return RunDefaults(**defaults) if defaults else NO_DEFAULTS, values.get("parameters")
