"""Finding stored commands: the full-text index of either database, plain text, names and tags."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    ColumnElement,
    Select,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB, TSQUERY

from fastapi_app.models import CommandFilter, Found, FoundBy
from fastapi_app.storage.command_filter import matching
from fastapi_app.storage.command_rows import row_to_command
from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import command_changes, command_index, commands
from fastapi_app.storage.text import storable

_WORD = re.compile(r"[^\W_]+")
_WORDS = table("command_words", column("rowid"))
# Of name, labels, description and code: names weigh most.
_WEIGHTS = (10.0, 4.0, 2.0, 1.0)
# The same for PostgreSQL, which counts from the other end.
_RANKS = [0.05, 0.2, 0.4, 1.0]
_BY_LENGTH = 1
"""PostgreSQL, 12.3.3: rank divided by 1 + the logarithm of the length."""
_NUMBER = select(command_changes.c.number)


class CommandSearch:
    """Stored commands by what they say."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def text(self, query: str, wanted: CommandFilter, limit: int) -> list[Found]:
        """Those that have every word of the query, or words that begin so, the best first.

        A query without any word, such as `"%_*`, is looked for letter by letter. One that is the
        name of a command finds that command first.
        """
        if not storable(query, wanted.group, *wanted.tags):
            return []
        words = _WORD.findall(unicodedata.normalize("NFC", query))
        if not words:
            statement = _letters(query)
        elif self._db.is_sqlite:
            statement = _sqlite(words)
        else:
            statement = _postgresql(words)
        statement = matching(statement, wanted, is_sqlite=self._db.is_sqlite)
        exact = func.lower(commands.c.name) == func.lower(literal(query.strip()))
        statement = statement.order_by(
            case((exact, 0), else_=1), literal_column("score").desc(), commands.c.name
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement.limit(limit))).mappings()
            return [Found(row_to_command(row), row["score"], FoundBy.TEXT) for row in rows]

    async def changes(self) -> int:
        """A number that grows whenever anybody has changed what commands say."""
        found = await self._db.first(_NUMBER, {})
        return 0 if found is None else int(found["number"])

    async def names(self) -> list[str]:
        """Every name."""
        async with self._db.read() as connection:
            return list((await connection.scalars(select(commands.c.name))).all())

    async def only(self, names: list[str], wanted: CommandFilter) -> dict[str, Found]:
        """Those of these names that match the filter."""
        if not storable(wanted.group, *wanted.tags):
            return {}
        statement = select(commands).where(commands.c.name.in_(names))
        statement = matching(statement, wanted, is_sqlite=self._db.is_sqlite)
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return {row["name"]: Found(row_to_command(row), 0.0, FoundBy.NAME) for row in rows}

    async def tags(self) -> list[tuple[str, int]]:
        """Every tag, with how many commands have it, by name."""
        if self._db.is_sqlite:
            each = func.json_each(commands.c.tags).table_valued("value", name="tagged")
        else:
            each = func.jsonb_array_elements_text(cast(commands.c.tags, JSONB)).table_valued(
                "value", name="tagged"
            )
            each = each.render_derived()
        statement = (
            select(each.c.value, func.count(commands.c.id.distinct()))
            .select_from(commands.join(each, literal(value=True)))
            .group_by(each.c.value)
        )
        async with self._db.read() as connection:
            found = [(str(tag), int(count)) for tag, count in await connection.execute(statement)]
        return sorted(found)


def _sqlite(words: list[str]) -> Select[Any]:
    """BM25 of FTS5, which is the lower the better; a quoted word is never an operator."""
    asked = " ".join(f'"{word}"*' for word in words)
    score = -func.bm25(literal_column("command_words"), *_WEIGHTS)
    return (
        select(commands, score.label("score"))
        .select_from(_WORDS)
        .join(command_index, command_index.c.seq == _WORDS.c.rowid)
        .join(commands, commands.c.id == command_index.c.command_id)
        .where(literal_column("command_words").op("MATCH")(asked))
    )


def _postgresql(words: list[str]) -> Select[Any]:
    asked = func.to_tsquery(
        literal_column("'simple'"), " & ".join(f"'{word}':*" for word in words), type_=TSQUERY
    )
    ranks = cast(_RANKS, ARRAY(REAL))
    score = func.ts_rank(ranks, command_index.c.words, asked, _BY_LENGTH)
    return (
        select(commands, score.label("score"))
        .join(command_index, command_index.c.command_id == commands.c.id)
        .where(command_index.c.words.op("@@")(asked))
    )


def _letters(query: str) -> Select[Any]:
    """The text as it is, wherever it stands: the fields of a command, the weightiest first."""
    written = json.dumps(query)[1:-1]  # as tags are stored
    has: list[ColumnElement[bool]] = [
        commands.c.name.contains(query, autoescape=True),
        commands.c.tags.contains(written, autoescape=True),
        commands.c.description.contains(query, autoescape=True),
        commands.c.code.contains(query, autoescape=True),
    ]
    score = case(*zip(has, map(float, _WEIGHTS), strict=True), else_=0.0)
    return select(commands, score.label("score")).where(or_(*has))
