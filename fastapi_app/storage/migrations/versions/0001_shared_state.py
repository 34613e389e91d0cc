"""The state both stacks share. A database the old daemon made itself is adopted as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what is missing; every statement tolerates what is there."""
    op.create_table(
        "commands",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("group_name", sa.String(200), nullable=False, server_default=""),
        sa.Column("tags", sa.Text, nullable=False, server_default="[]"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("execution_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_executed", sa.Double),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        if_not_exists=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(200), nullable=False, server_default=""),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("command_id", sa.String(36)),
        sa.Column("process_id", sa.String(36)),
        sa.Column("args", sa.Text, nullable=False, server_default="[]"),
        sa.Column("env", sa.Text, nullable=False, server_default="{}"),
        sa.Column("cwd", sa.Text),
        sa.Column("timeout", sa.Double),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
        sa.Column("stop_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("returncode", sa.Integer),
        sa.Column("pid", sa.Integer),
        sa.Column("pid_started", sa.BigInteger),
        sa.Column("boot_id", sa.String(36)),
        sa.Column("owner", sa.String(64)),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("stdout_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("stderr_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("truncated", sa.Boolean, nullable=False, server_default=sa.false()),
        if_not_exists=True,
    )
    op.create_index("ix_runs_kind_status", "runs", ["kind", "status"], if_not_exists=True)
    op.create_index("ix_runs_created_at_id", "runs", ["created_at", "id"], if_not_exists=True)
    op.create_table(
        "processes",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("args", sa.Text, nullable=False, server_default="[]"),
        sa.Column("working_dir", sa.Text),
        sa.Column("environment", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("run_id", sa.String(36)),
        if_not_exists=True,
    )
    op.create_table(
        "service_state",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    """The first revision has nothing below it but the old daemon's own tables, which stay."""
