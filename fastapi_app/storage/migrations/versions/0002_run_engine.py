"""Groups, options and steps of runs; every transition of a run written down, none illegal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_app.storage.triggers import create_triggers

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the run engine keeps; rows that are there get the defaults, and no history."""
    op.add_column(
        "runs",
        sa.Column("group_name", sa.String(200), nullable=False, server_default="default"),
    )
    op.add_column("runs", sa.Column("parent_id", sa.String(36)))
    op.add_column("runs", sa.Column("not_before", sa.Double))
    op.add_column("runs", sa.Column("options", sa.Text))
    op.create_index("ix_runs_parent_id", "runs", ["parent_id"])
    op.create_table(
        "transitions",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("reason", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_transitions_run_id", "transitions", ["run_id"])
    op.create_table(
        "groups",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("slots", sa.Integer),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    create_triggers(op.get_bind())
