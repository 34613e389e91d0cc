"""Alembic migrations of the shared database."""
