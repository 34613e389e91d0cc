"""Rows to models and back; nothing here decides."""
