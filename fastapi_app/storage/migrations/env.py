"""Alembic's entry point: runs the revisions on the connection it is handed."""

from __future__ import annotations

from alembic import context

from fastapi_app.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
