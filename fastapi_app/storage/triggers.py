"""The state machine of runs, held by the database itself, whoever writes to it.

`queued → running → completed | failed | cancelled | timed_out | lost`, back to `queued` only for
the next attempt. A run that never came to run may be cancelled, refused or lost. What ended stays
as it is. Each change is written down in `transitions`, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection

_LEGAL = """
  (OLD.status = 'queued' AND NEW.status IN ('running', 'cancelled', 'failed', 'lost'))
  OR (OLD.status = 'running'
      AND NEW.status IN ('completed', 'failed', 'cancelled', 'timed_out', 'lost'))
  OR (OLD.status = 'running' AND NEW.status = 'queued' AND NEW.attempt = OLD.attempt + 1)
"""
_KNOWN = "('queued', 'running', 'completed', 'failed', 'cancelled', 'timed_out', 'lost')"
_INTO = "INSERT INTO transitions (run_id, attempt, status, at, reason)"
# A run that ended within moments is inserted with its end: its way there is still written down.
_ACCEPTED = f"""
  {_INTO} VALUES (NEW.id, NEW.attempt, 'queued', NEW.created_at, NULL);
  {_INTO} SELECT NEW.id, NEW.attempt, 'running', COALESCE(NEW.started_at, NEW.created_at), NULL
    WHERE NEW.status = 'running' OR NEW.pid IS NOT NULL;
  {_INTO} SELECT NEW.id, NEW.attempt, NEW.status,
    COALESCE(NEW.finished_at, NEW.created_at), NEW.reason
    WHERE NEW.status NOT IN ('queued', 'running');
"""


def _moved(now: str) -> str:
    return f"""
  {_INTO} VALUES (NEW.id, NEW.attempt, NEW.status,
    CASE NEW.status WHEN 'queued' THEN {now}
      WHEN 'running' THEN COALESCE(NEW.started_at, {now})
      ELSE COALESCE(NEW.finished_at, {now}) END,
    NEW.reason);
"""


_SQLITE = (
    f"""CREATE TRIGGER runs_known BEFORE INSERT ON runs WHEN NEW.status NOT IN {_KNOWN}
BEGIN SELECT RAISE(ABORT, 'illegal status of a run'); END""",
    f"CREATE TRIGGER runs_accepted AFTER INSERT ON runs BEGIN {_ACCEPTED} END",
    f"""CREATE TRIGGER runs_legal BEFORE UPDATE OF status ON runs
WHEN NEW.status <> OLD.status AND NOT ({_LEGAL})
BEGIN SELECT RAISE(ABORT, 'illegal transition of a run'); END""",
    f"""CREATE TRIGGER runs_moved AFTER UPDATE OF status ON runs WHEN NEW.status <> OLD.status
BEGIN {_moved("(julianday('now') - 2440587.5) * 86400.0")} END""",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION runs_written() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
  IF NEW.status NOT IN {_KNOWN} THEN RAISE EXCEPTION 'illegal status of a run'; END IF;
  IF TG_OP = 'INSERT' THEN {_ACCEPTED}
  ELSIF NEW.status <> OLD.status THEN
    IF NOT ({_LEGAL}) THEN RAISE EXCEPTION 'illegal transition of a run'; END IF;
    {_moved("EXTRACT(EPOCH FROM clock_timestamp())")}
  END IF;
  RETURN NULL;
END $body$""",
    """CREATE TRIGGER runs_written AFTER INSERT OR UPDATE OF status ON runs
FOR EACH ROW EXECUTE FUNCTION runs_written()""",
)


def create_triggers(connection: Connection) -> None:
    """Put the triggers on the `runs` table."""
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
