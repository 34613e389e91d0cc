"""Finding stored commands: the full-text index of either database, plain text, names and tags."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    Column,
    ColumnElement,
    Double,
    Integer,
    ScalarSelect,
    Select,
    String,
    bindparam,
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
from sqlalchemy.ext.asyncio import AsyncConnection

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
MANY = 1000
"""Commands that are ranked, of more the newest: each takes some 2 µs."""
_PARTS = {
    "in_name": "name",
    "in_labels": "name labels",
    "in_description": "name labels description",
}
"""Where to look first, when more than `MANY` have the words."""
_ANYWHERE = "anywhere"
EXACT = 1000.0
"""What a command scores that is called as asked for."""
ESCAPE = "|"
Step = tuple[Select[Any], dict[str, Any]]
"""A statement and its parameters. They are made once: that takes as long as to run them."""


def _match(asked: str) -> ColumnElement[bool]:
    words: ColumnElement[str] = literal_column("command_words")
    return words.op("MATCH", is_comparison=True)(bindparam(asked, type_=String))


def _count(asked: str, most: str) -> ScalarSelect[int]:
    """How many have the words, counted no further than `most`: a common word has thousands."""
    found = select(_WORDS.c.rowid).where(_match(asked)).limit(bindparam(most, type_=Integer))
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


def _first() -> ColumnElement[str]:
    """The part of a command to rank by first; NULL when few have the words. Asked one by one."""
    enough = bindparam("enough", type_=Integer)
    return case(
        (_count("asked", "too_many") <= MANY, None),
        *((_count(part, "enough") >= enough, part) for part in _PARTS),
        else_=_ANYWHERE,
    )


def _sqlite() -> Select[Any]:
    """By BM25 of FTS5, the lower the better; joined as they are ranked, so only the best are."""
    score = func.bm25(literal_column("command_words"), *map(literal, _WEIGHTS), type_=Double)
    latest = (
        select(_WORDS.c.rowid.label("seq"), (-score).label("score"))
        .where(_match("asked"))
        .order_by(_WORDS.c.rowid.desc())
        .limit(bindparam("most", type_=Integer))
        .subquery()
    )
    ranked = select(latest).order_by(latest.c.score.desc()).limit(-1).subquery()
    return (
        select(commands, ranked.c.score)
        .select_from(ranked)
        .join(command_index, command_index.c.seq == ranked.c.seq)
        .join(commands, commands.c.id == command_index.c.command_id)
    )


def _postgresql(index: Column[Any]) -> Select[Any]:
    asked = func.to_tsquery(
        literal_column("'simple'"), bindparam("asked", type_=String), type_=TSQUERY
    )
    ranks = cast(_RANKS, ARRAY(REAL))
    score = func.ts_rank(ranks, index, asked, _BY_LENGTH)
    return (
        select(commands, score.label("score"))
        .join(command_index, command_index.c.command_id == commands.c.id)
        .where(index.op("@@")(asked))
        .order_by(literal_column("score").desc(), commands.c.name)
    )


def _letters() -> Select[Any]:
    """The text as it is, wherever it stands: the fields of a command, the weightiest first."""
    asked, as_json = bindparam("asked", type_=String), bindparam("as_json", type_=String)
    has: list[ColumnElement[bool]] = [
        commands.c.name.contains(asked, escape=ESCAPE),
        commands.c.tags.contains(as_json, escape=ESCAPE),
        commands.c.description.contains(asked, escape=ESCAPE),
        commands.c.code.contains(asked, escape=ESCAPE),
    ]
    score = case(*zip(has, map(literal, _WEIGHTS), strict=True), else_=0.0)
    found = select(commands, score.label("score")).where(or_(*has))
    return found.order_by(literal_column("score").desc(), commands.c.name)


_FOLDED = command_index.c.folded == func.lower(bindparam("name", type_=String))
_NAMED = (
    select(commands, literal(EXACT).label("score"))
    .join(command_index, command_index.c.command_id == commands.c.id)
    .where(_FOLDED)
)
_PROBE = select(
    _first(), select(func.count()).select_from(command_index).where(_FOLDED).scalar_subquery()
)
_SQLITE, _LETTERS = _sqlite(), _letters()
_POSTGRESQL = [_postgresql(index) for index in (command_index.c.labels, command_index.c.words)]
"""Names and labels first: to rank what thousands have in their code takes long."""
_NUMBER = select(command_changes.c.number)


class CommandSearch:
    """Stored commands by what they say."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def text(self, query: str, wanted: CommandFilter, limit: int) -> list[Found]:
        """Those that have every word of the query, or words that begin so, the best first.

        A query without any word, such as `"%_*`, is looked for letter by letter. One that is the
        name of a command finds that command first. When more than `MANY` have the words, those
        that have them in what weighs most are ranked alone, if these are enough.
        """
        if not storable(query, wanted.group, *wanted.tags):
            return []
        words = _WORD.findall(unicodedata.normalize("NFC", query))
        async with self._db.read() as connection:
            found: dict[str, Found] = {}
            for step in await self._steps(connection, query, words, limit):
                if len(found) < limit:
                    for each in await self._rows(connection, step, wanted, limit):
                        found.setdefault(each.command.id, each)
        return list(found.values())[:limit]

    async def _steps(
        self, connection: AsyncConnection, query: str, words: list[str], limit: int
    ) -> list[Step]:
        """What to ask, one after the other, until there is enough."""
        named = _NAMED, {"name": query.strip()}
        if not words:
            letters = {"asked": query, "as_json": json.dumps(query)[1:-1]}  # as tags are stored
            return [named, (_LETTERS, {key: _escaped(text) for key, text in letters.items()})]
        if not self._db.is_sqlite:
            asked = " & ".join(f"'{word}':*" for word in words)
            return [named, *((statement, {"asked": asked}) for statement in _POSTGRESQL)]
        asked = " ".join(f'"{word}"*' for word in words)  # a quoted word is no operator
        within = {part: f"{{{columns}}} : ({asked})" for part, columns in _PARTS.items()}
        counted = {"too_many": MANY + 1, "enough": limit}
        probe = await connection.execute(_PROBE, {"asked": asked, **within, **counted, **named[1]})
        first, so_named = probe.one()
        steps: list[Step] = [named] if so_named else []
        if first is not None:
            texts = [within[first], asked] if first in within else [asked]
            steps += [(_SQLITE, {"asked": text, "most": MANY}) for text in texts]
        # Reached with many only when a filter has left too few of them.
        return [*steps, (_SQLITE, {"asked": asked, "most": -1})]

    async def _rows(
        self, connection: AsyncConnection, step: Step, wanted: CommandFilter, limit: int
    ) -> list[Found]:
        statement = matching(step[0], wanted, is_sqlite=self._db.is_sqlite).limit(limit)
        rows = (await connection.execute(statement, step[1])).mappings()
        found = [Found(row_to_command(row), row["score"], FoundBy.TEXT) for row in rows]
        return sorted(found, key=lambda each: (-each.score, each.command.name))

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


def _escaped(text: str) -> str:
    """The text for LIKE, which takes none of its letters for anything else."""
    for special in (ESCAPE, "%", "_"):
        text = text.replace(special, ESCAPE + special)
    return text
