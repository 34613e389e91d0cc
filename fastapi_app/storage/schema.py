"""Brings a database to the schema this version knows, or refuses a newer one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from fastapi_app.errors import StartupError

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection) -> None:
    """Apply every missing revision on `connection`, inside its transaction.

    Raises:
        StartupError: the database carries a revision this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    found = applied(connection)
    if newer := found - known:
        raise StartupError(
            f"The database is at revision {', '.join(sorted(newer))}, which this version does not"
            " know: install the newer mcli-dualstack again, or restore a backup of the database."
        )
    command.upgrade(config, "head")


def applied(connection: Connection) -> set[str]:
    """The revisions the database carries; none for a new database or the old daemon's."""
    if not inspect(connection).has_table("alembic_version"):
        return set()
    return set(connection.scalars(text("SELECT version_num FROM alembic_version")))
