"""One suite on SQLite and on PostgreSQL."""
