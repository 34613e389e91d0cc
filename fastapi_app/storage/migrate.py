"""Applies Alembic revisions to a database that is older than this version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fastapi_app.storage.schema import refuse_newer

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection, found: set[str]) -> None:
    """Apply every revision that is missing; `found` are those the database carries.

    Raises:
        StartupError: it carries one this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    refuse_newer(found, known_revisions(config))
    command.upgrade(config, "head")


def known_revisions(config: Config) -> set[str]:
    """Every revision this version knows."""
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
