"""What becomes of a stored command that is written, whoever writes it: history and full text.

Triggers on `commands` keep every version in `command_versions`, the words of each command in the
full-text index, and a number that grows with each change in `command_changes`. What only counts
executions, or switches a command on or off, sets none of them off. The index holds the first
`INDEXED` characters of the code; PostgreSQL takes at most 1 MB of words.
"""

# ruff: noqa: S608 - built of constants alone
from __future__ import annotations

from sqlalchemy import Connection

INDEXED = 100_000
"""Characters of code that are searched."""
_WATCHED = "name, description, code, language, group_name, tags, options"
_FILLED = (
    "INSERT INTO command_versions (command_id, version, name, description, code, language,"
    " group_name, tags, options, at)"
    " SELECT id, 1, name, description, code, language, group_name, tags, options, updated_at"
    " FROM commands"
)
_VERSION = """
  INSERT INTO command_versions (command_id, version, name, description, code, language,
    group_name, tags, options, at)
  SELECT NEW.id, COALESCE(MAX(version), 0) + 1, NEW.name, NEW.description, NEW.code, NEW.language,
    NEW.group_name, NEW.tags, NEW.options, NEW.updated_at
  FROM command_versions WHERE command_id = NEW.id;
"""
_CHANGED = "UPDATE command_changes SET number = number + 1;"


def _words(row: str) -> str:
    """Name, labels, description and code of a row as columns of the index of SQLite."""
    return f"""{row}.name,
    {row}.group_name || ' ' || CASE WHEN json_valid({row}.tags) THEN
      (SELECT COALESCE(group_concat(value, ' '), '') FROM json_each({row}.tags)) ELSE '' END,
    {row}.description, substr({row}.code, 1, {INDEXED})"""


_SQLITE = (
    """CREATE VIRTUAL TABLE command_words USING fts5(name, labels, description, code,
  tokenize = "unicode61 remove_diacritics 0", prefix = '1 2 3')""",
    _FILLED,
    "INSERT INTO command_index (command_id, folded) SELECT id, lower(name) FROM commands",
    f"""INSERT INTO command_words (rowid, name, labels, description, code)
SELECT command_index.seq, {_words("commands")}
FROM commands JOIN command_index ON command_index.command_id = commands.id""",
    f"""CREATE TRIGGER commands_added AFTER INSERT ON commands BEGIN {_VERSION}
  INSERT INTO command_index (command_id, folded) VALUES (NEW.id, lower(NEW.name));
  INSERT INTO command_words (rowid, name, labels, description, code)
    SELECT seq, {_words("NEW")} FROM command_index WHERE command_id = NEW.id;
  {_CHANGED} END""",
    f"""CREATE TRIGGER commands_edited AFTER UPDATE OF {_WATCHED} ON commands
WHEN {" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _WATCHED.split(", "))}
BEGIN {_VERSION}
  UPDATE command_index SET folded = lower(NEW.name) WHERE command_id = NEW.id;
  UPDATE command_words SET (name, labels, description, code) = (SELECT {_words("NEW")})
    WHERE rowid = (SELECT seq FROM command_index WHERE command_id = NEW.id);
  {_CHANGED} END""",
    f"""CREATE TRIGGER commands_removed AFTER DELETE ON commands BEGIN
  DELETE FROM command_versions WHERE command_id = OLD.id;
  DELETE FROM command_words
    WHERE rowid = (SELECT seq FROM command_index WHERE command_id = OLD.id);
  DELETE FROM command_index WHERE command_id = OLD.id;
  {_CHANGED} END""",
)
# Punctuation goes first: PostgreSQL would take a.b for the name of a host and /a/b for a file.
_PUNCTUATION = r"E'[\\x01-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7F]+'"
_POSTGRESQL = (
    f"""CREATE FUNCTION command_lexemes(said text, weight "char") RETURNS tsvector
LANGUAGE sql IMMUTABLE AS $body$
  SELECT setweight(to_tsvector('simple', regexp_replace(said, {_PUNCTUATION}, ' ', 'g')), weight)
$body$""",
    """CREATE FUNCTION command_tags(tags text) RETURNS text LANGUAGE plpgsql AS $body$ BEGIN
  RETURN (SELECT COALESCE(string_agg(value, ' '), '') FROM json_array_elements_text(tags::json));
EXCEPTION WHEN OTHERS THEN RETURN '';
END $body$""",
    """CREATE FUNCTION command_labels(name text, group_name text, tags text) RETURNS tsvector
LANGUAGE sql AS $body$
  SELECT command_lexemes(name, 'A') || command_lexemes(group_name || ' ' || command_tags(tags), 'B')
$body$""",
    f"""CREATE FUNCTION command_words(labels tsvector, description text, code text) RETURNS tsvector
LANGUAGE sql AS $body$
  SELECT labels || command_lexemes(description, 'C')
    || command_lexemes(left(code, {INDEXED}), 'D')
$body$""",
    _FILLED,
    """INSERT INTO command_index (command_id, folded, labels, words)
SELECT id, lower(name), labels, command_words(labels, description, code)
FROM commands, command_labels(name, group_name, tags) AS labels""",
    f"""CREATE FUNCTION commands_written() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE said tsvector;
BEGIN
  IF TG_OP = 'DELETE' THEN
    DELETE FROM command_versions WHERE command_id = OLD.id;
    DELETE FROM command_index WHERE command_id = OLD.id;
  ELSIF TG_OP = 'UPDATE' AND ({", ".join(f"NEW.{n}" for n in _WATCHED.split(", "))})
      IS NOT DISTINCT FROM ({", ".join(f"OLD.{n}" for n in _WATCHED.split(", "))}) THEN
    RETURN NULL;
  ELSE
    {_VERSION}
    said := command_labels(NEW.name, NEW.group_name, NEW.tags);
    INSERT INTO command_index (command_id, folded, labels, words)
    VALUES (NEW.id, lower(NEW.name), said, command_words(said, NEW.description, NEW.code))
    ON CONFLICT (command_id) DO UPDATE
      SET folded = EXCLUDED.folded, labels = EXCLUDED.labels, words = EXCLUDED.words;
  END IF;
  {_CHANGED}
  RETURN NULL;
END $body$""",
    f"""CREATE TRIGGER commands_written AFTER INSERT OR DELETE OR UPDATE OF {_WATCHED} ON commands
FOR EACH ROW EXECUTE FUNCTION commands_written()""",
)


def create_command_triggers(connection: Connection) -> None:
    """Put the triggers on `commands`, and in what they would have written of what is there."""
    connection.exec_driver_sql("INSERT INTO command_changes (number) VALUES (0)")
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
