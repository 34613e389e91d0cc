"""Brings a database to the schema this version knows, or refuses a newer one."""

from __future__ import annotations

import importlib

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from fastapi_app.errors import StartupError
from fastapi_app.storage.command_triggers import create_command_triggers
from fastapi_app.storage.tables import metadata
from fastapi_app.storage.triggers import create_triggers

HEAD = "0008"
"""The newest revision. A test holds it against the revisions there are."""
version_table = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


def bring_up_to_date(connection: Connection) -> None:
    """Make the schema that of `HEAD`, inside the connection's transaction.

    A database that is up to date needs nothing, and an empty one gets its tables at once. Only
    what lies between needs the migration tool, which costs a third of a second to import: that
    is why its import stands in here.

    Raises:
        StartupError: the database carries a revision this version does not know.
    """
    present = set(inspect(connection).get_table_names())
    found = applied(connection) if version_table.name in present else set()
    if found == {HEAD}:
        return
    if not present & {*metadata.tables, version_table.name}:
        metadata.create_all(connection)
        create_triggers(connection)
        create_command_triggers(connection)
        version_table.create(connection)
        connection.execute(version_table.insert(), {"version_num": HEAD})
        return
    importlib.import_module("fastapi_app.storage.migrate").upgrade(connection, found)


def applied(connection: Connection) -> set[str]:
    """The revisions the database carries."""
    return set(connection.scalars(select(version_table.c.version_num)))


def refuse_newer(found: set[str], known: set[str]) -> None:
    """Stop at a database that a later version has changed.

    Raises:
        StartupError: names the revision and says what to do.
    """
    if newer := found - known:
        raise StartupError(
            f"The database is at revision {', '.join(sorted(newer))}, which this version does not"
            " know: install the newer mcli-dualstack again, or restore a backup of the database."
        )
