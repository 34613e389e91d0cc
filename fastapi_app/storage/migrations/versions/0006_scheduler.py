"""What is scheduled, and what became of each moment of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables without a row."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("schedule_kind", sa.String(8), nullable=False),
        sa.Column("schedule_text", sa.Text, nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("task_kind", sa.String(16), nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("webhook", sa.Text),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("next_slot", sa.Double),
        sa.Column("due_at", sa.Double),
        sa.Column("fired", sa.Integer, nullable=False, server_default="0"),
        sa.Column("revision", sa.Integer, nullable=False, server_default="1"),
    )
    op.create_index("ix_jobs_due_at", "jobs", ["due_at"])
    op.create_table(
        "slots",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("manual", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("owner", sa.String(100)),
        sa.Column("decided_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("tell_at", sa.Double),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("ux_slots_job_id_at", "slots", ["job_id", "at"], unique=True)
    op.create_index("ix_slots_state", "slots", ["state"])
    op.create_index("ix_slots_tell_at", "slots", ["tell_at"])
