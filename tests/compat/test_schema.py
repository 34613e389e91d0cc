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


def test_tables_and_columns_are_equal() -> None:
    old_tables, new_tables = legacy.metadata.tables, new.metadata.tables
    assert old_tables.keys() == new_tables.keys()
    for name in new_tables:
        assert _shape(old_tables[name]) == _shape(new_tables[name]), name


def test_indexes_are_equal() -> None:
    def indexes(table: Table) -> set[tuple[str, ...]]:
        return {tuple(column.name for column in index.columns) for index in table.indexes}

    for name, table in new.metadata.tables.items():
        assert indexes(legacy.metadata.tables[name]) == indexes(table), name
