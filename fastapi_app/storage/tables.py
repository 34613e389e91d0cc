"""The tables both stacks share; docs/decisions/0001-shared-state.md describes each column."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

metadata = MetaData()

commands = Table(
    "commands",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("code", Text, nullable=False),
    Column("language", String(16), nullable=False),
    Column("group_name", String(200), nullable=False, server_default=""),
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("execution_count", Integer, nullable=False, server_default="0"),
    Column("last_executed", Double),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    # Of the new stack alone: defaults of runs and declared parameters, as JSON.
    Column("options", Text),
)

command_versions = Table(
    "command_versions",
    metadata,
    Column("command_id", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("language", String(16), nullable=False),
    Column("group_name", String(200), nullable=False),
    Column("tags", Text, nullable=False),
    Column("options", Text),
    Column("at", Double, nullable=False),
    # Who wrote it, and why, when the new stack knows.
    Column("author", String(200), nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
)

command_index = Table(
    "command_index",
    metadata,
    # The rowid of the command in the full-text index of SQLite.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("command_id", String(36), nullable=False, unique=True),
    Column("folded", String(200), nullable=False),
    # The full-text indexes of PostgreSQL: of name, tags and group, and of everything.
    Column("labels", Text().with_variant(TSVECTOR(), "postgresql")),
    Column("words", Text().with_variant(TSVECTOR(), "postgresql")),
    Index("ix_command_index_folded", "folded"),
    Index("ix_command_index_labels", "labels", postgresql_using="gin").ddl_if(dialect="postgresql"),
    Index("ix_command_index_words", "words", postgresql_using="gin").ddl_if(dialect="postgresql"),
)

command_changes = Table(
    "command_changes",
    metadata,
    # One row, whose number grows with every change of what commands say.
    Column("number", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("command", Text, nullable=False),
    Column("command_id", String(36)),
    Column("process_id", String(36)),
    Column("args", Text, nullable=False, server_default="[]"),
    Column("env", Text, nullable=False, server_default="{}"),
    Column("cwd", Text),
    Column("timeout", Double),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("stop_requested", Boolean, nullable=False, server_default=false()),
    Column("returncode", Integer),
    Column("pid", Integer),
    Column("pid_started", BigInteger),
    Column("boot_id", String(36)),
    Column("owner", String(64)),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("stdout_bytes", BigInteger, nullable=False, server_default="0"),
    Column("stderr_bytes", BigInteger, nullable=False, server_default="0"),
    Column("truncated", Boolean, nullable=False, server_default=false()),
    # From here on the columns of the new stack alone.
    Column("group_name", String(200), nullable=False, server_default="default"),
    Column("parent_id", String(36)),
    Column("not_before", Double),
    Column("options", Text),
    Index("ix_runs_kind_status", "kind", "status"),
    Index("ix_runs_created_at_id", "created_at", "id"),
    Index("ix_runs_parent_id", "parent_id"),
    Index(
        "ix_runs_command_id",
        "command_id",
        "created_at",
        sqlite_where=text("command_id IS NOT NULL"),
        postgresql_where=text("command_id IS NOT NULL"),
        # Statistics are the new stack's: the old one gets on without.
        info={"new_stack": True},
    ),
)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run_id", String(36), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("reason", Text),
    Index("ix_transitions_run_id", "run_id"),
    # A number must never come back: clients resume behind the last one they saw.
    sqlite_autoincrement=True,
)

groups = Table(
    "groups",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("slots", Integer),
    Column("paused", Boolean, nullable=False, server_default=false()),
)

processes = Table(
    "processes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("command", Text, nullable=False),
    Column("args", Text, nullable=False, server_default="[]"),
    Column("working_dir", Text),
    Column("environment", Text, nullable=False, server_default="{}"),
    Column("created_at", Double, nullable=False),
    Column("run_id", String(36)),
)

supervision = Table(
    "supervision",
    metadata,
    Column("process_id", String(36), primary_key=True),
    # The name in one case, of processes whose names must differ in more than that.
    Column("name_key", String(800), unique=True),
    Column("plan", Text, nullable=False),
    Column("wanted", String(16)),
    Column("owner", String(64)),
    Column("run_id", String(36)),
    Column("decided", String(36)),
    Column("ending_run", String(36)),
    Column("ending", String(16)),
    Column("restarts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("gave_up", Boolean, nullable=False),
    Column("health", String(16)),
    Column("health_detail", Text),
)

service_state = Table(
    "service_state",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("created_at", Double, nullable=False),
    Column("last_login", Double),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    # Of the one refresh token that is good now.
    Column("digest", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("last_used", Double, nullable=False),
    Column("address", String(64), nullable=False),
    Column("client", String(200), nullable=False),
    Column("revoked_at", Double),
    Column("reason", Text),
    Index("ix_sessions_user_id", "user_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    Column("user_id", String(36)),
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used", Double),
    Column("revoked_at", Double),
    Index("ix_api_keys_user_id", "user_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("principal", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("request_id", String(128), nullable=False),
    Index("ix_audit_at", "at"),
    # What was removed must not make its number free again: gaps would not show.
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("schedule_kind", String(8), nullable=False),
    Column("schedule_text", Text, nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("task_kind", String(16), nullable=False),
    Column("task", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("webhook", Text),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("next_slot", Double),
    Column("due_at", Double),
    Column("fired", Integer, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="1"),
    # The name folded: names that differ only in case are the same.
    Column("name_key", String(800)),
    Index("ix_jobs_due_at", "due_at"),
    Index("ux_jobs_name_key", "name_key", unique=True),
)

slots = Table(
    "slots",
    metadata,
    # The run that comes of it has the same: whoever fires a slot once more meets that run.
    Column("id", String(36), primary_key=True),
    Column("job_id", String(36), nullable=False),
    Column("at", Double, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("manual", Boolean, nullable=False, server_default=false()),
    Column("owner", String(100)),
    Column("decided_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("tell_at", Double),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index("ux_slots_job_id_at", "job_id", "at", unique=True),
    Index("ix_slots_state", "state"),
    Index("ix_slots_tell_at", "tell_at"),
)
