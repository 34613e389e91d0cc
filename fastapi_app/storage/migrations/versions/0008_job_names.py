"""No two jobs whose names differ only in case, not even of two that are made at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the folded names; of jobs that are called alike already, the first has it."""
    op.add_column("jobs", sa.Column("name_key", sa.String(800)))
    jobs = sa.table("jobs", sa.column("id"), sa.column("name"), sa.column("name_key"))
    connection = op.get_bind()
    statement = sa.select(jobs.c.id, jobs.c.name).order_by(sa.text("created_at, id"))
    first: dict[str, str] = {}
    for job_id, name in connection.execute(statement):
        first.setdefault(name.casefold(), job_id)
    for key, job_id in first.items():
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(name_key=key))
    op.create_index("ux_jobs_name_key", "jobs", ["name_key"], unique=True)
