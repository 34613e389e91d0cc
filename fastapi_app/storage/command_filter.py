"""Which commands a list or a search is about, as conditions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_app.models import CommandFilter
from fastapi_app.storage.tables import commands


def matching(statement: Select[Any], wanted: CommandFilter, *, is_sqlite: bool) -> Select[Any]:
    """The statement with a condition for each field that is given."""
    if wanted.active is not None:
        active = commands.c.is_active
        statement = statement.where(active if wanted.active else active.is_(False))
    if wanted.language is not None:
        statement = statement.where(commands.c.language == str(wanted.language))
    if wanted.group is not None:
        statement = statement.where(commands.c.group_name == wanted.group)
    for tag in wanted.tags:
        statement = statement.where(_tagged(tag, is_sqlite=is_sqlite))
    return statement


def _tagged(tag: str, *, is_sqlite: bool) -> Any:  # noqa: ANN401 - a condition, of two types
    if is_sqlite:
        each = func.json_each(commands.c.tags).table_valued("value", name="tag")
        return select(literal(1)).select_from(each).where(each.c.value == tag).exists()
    return cast(commands.c.tags, JSONB).contains([tag])
