"""Versions and full text of stored commands, their defaults and parameters, and statistics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from fastapi_app.storage.command_triggers import create_command_triggers

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is stored becomes the first version of each command, and can be found."""
    op.add_column("commands", sa.Column("options", sa.Text))
    op.create_table(
        "command_versions",
        sa.Column("command_id", sa.String(36), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("group_name", sa.String(200), nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("options", sa.Text),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("author", sa.String(200), nullable=False, server_default=""),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "command_index",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("command_id", sa.String(36), nullable=False, unique=True),
        sa.Column("folded", sa.String(200), nullable=False),
        sa.Column("labels", sa.Text().with_variant(TSVECTOR(), "postgresql")),
        sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql")),
    )
    op.create_index("ix_command_index_folded", "command_index", ["folded"])
    op.create_table("command_changes", sa.Column("number", sa.BigInteger, nullable=False))
    op.create_index(
        "ix_runs_command_id",
        "runs",
        ["command_id", "created_at"],
        sqlite_where=sa.text("command_id IS NOT NULL"),
        postgresql_where=sa.text("command_id IS NOT NULL"),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for column in ("labels", "words"):
            op.create_index(
                f"ix_command_index_{column}", "command_index", [column], postgresql_using="gin"
            )
    create_command_triggers(connection)
