"""The tables of the compatibility layer, which go with it: the new app knows nothing of them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.schema import CreateColumn

metadata = MetaData()

stages = Table(
    "cutover_stages",
    metadata,
    Column("route", String(200), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
    # From here on columns that a database of an earlier version lacks.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("changed_by", Text, nullable=False, server_default=""),
    Column("rollout", String(36)),
    Column("brownout", Text),
    Column("base", Text),
)
"""`base` is what had been counted when the route came to its stage (JSON, see measures)."""

audit = Table(
    "cutover_audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", String(16), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rollout", String(36)),
    # A number must never come back: clients resume behind the last one they saw.
    sqlite_autoincrement=True,
)

measures = Table(
    "cutover_measures",
    metadata,
    Column("route", String(200), primary_key=True),
    Column("stack", String(16), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("data", Text, nullable=False),
)

mismatches = Table(
    "cutover_mismatches",
    metadata,
    Column("route", String(200), primary_key=True),
    Column("pointer", String(400), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("samples", Text, nullable=False),
)

callers = Table(
    "cutover_callers",
    metadata,
    Column("client", String(16), primary_key=True),
    Column("route", String(200), primary_key=True),
    Column("label", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("count", BigInteger, nullable=False),
)

rollouts = Table(
    "cutover_rollouts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("plan", Text, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("held", Double, nullable=False),
    Column("origin", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("revision", Integer, nullable=False),
)


def bring_up_to_date(connection: Connection) -> None:
    """Create what is missing, columns too."""
    metadata.create_all(connection)
    there = {column["name"] for column in inspect(connection).get_columns(stages.name)}
    for column in stages.columns:
        if column.name not in there:
            definition = CreateColumn(column).compile(connection)
            connection.exec_driver_sql(f"ALTER TABLE {stages.name} ADD COLUMN {definition}")
