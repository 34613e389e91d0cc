"""Which processes are looked after, and how far that has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: processes that are there are left to themselves as before."""
    op.create_table(
        "supervision",
        sa.Column("process_id", sa.String(36), primary_key=True),
        sa.Column("name_key", sa.String(800), unique=True),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("wanted", sa.String(16)),
        sa.Column("owner", sa.String(64)),
        sa.Column("run_id", sa.String(36)),
        sa.Column("decided", sa.String(36)),
        sa.Column("ending_run", sa.String(36)),
        sa.Column("ending", sa.String(16)),
        sa.Column("restarts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("gave_up", sa.Boolean, nullable=False),
        sa.Column("health", sa.String(16)),
        sa.Column("health_detail", sa.Text),
    )
