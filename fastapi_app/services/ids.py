"""Ids of everything: UUIDs that sort by time (RFC 9562, version 7)."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A fresh id, greater than every id this process made before."""
    return str(uuid_utils.uuid7())
