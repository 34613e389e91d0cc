"""The two stacks mean the same tables."""

from __future__ import annotations

from sqlalchemy import Column, Table

import legacy_flask.tables as legacy
from fastapi_app.storage import tables as new


def _column(column: Column[object]) -> tuple[object, ...]:
    default = getattr(column.server_default, "arg", None)
    return (str(column.type), column.nullable, column.primary_key, column.unique, str(default))


def _shape(table: Table) -> dict[str, tuple[object, ...]]:
    return {column.name: _column(column) for column in table.columns}


def test_the_old_stack_knows_its_tables_as_they_are() -> None:
    for name, table in legacy.metadata.tables.items():
        known, shape = _shape(table), _shape(new.metadata.tables[name])
        assert {column: shape[column] for column in known} == known, name


def test_the_old_stack_can_leave_out_what_it_does_not_know() -> None:
    for name, table in legacy.metadata.tables.items():
        for column in new.metadata.tables[name].columns:
            if column.name not in table.columns:
                assert column.nullable or column.server_default is not None, column


def test_the_old_stack_makes_the_indexes_of_its_columns() -> None:
    def indexes(table: Table) -> set[tuple[str, ...]]:
        shared = [index for index in table.indexes if not index.info.get("new_stack")]
        return {tuple(column.name for column in index.columns) for index in shared}

    for name, table in legacy.metadata.tables.items():
        known = {i for i in indexes(new.metadata.tables[name]) if set(i) <= set(table.c.keys())}
        assert indexes(table) == known, name
