"""Opaque cursors: where a page ended, in a form clients hand back untouched."""

from __future__ import annotations

import base64
import binascii
import json
import math

from fastapi_app.errors import InvalidCursorError
from fastapi_app.storage.text import storable


def encode(*position: object) -> str:
    """The position behind the last item of a page."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_run(cursor: str) -> tuple[float, str]:
    """The (created_at, id) of a run.

    Raises:
        InvalidCursorError: we never made that cursor.
    """
    match _decode(cursor):
        case [float(created_at), str(run_id)] if math.isfinite(created_at) and storable(run_id):
            return created_at, run_id
    raise InvalidCursorError


def decode_name(cursor: str) -> str:
    """The name of a command.

    Raises:
        InvalidCursorError: we never made that cursor.
    """
    match _decode(cursor):
        case [str(name)] if storable(name):
            return name
    raise InvalidCursorError


def decode_number(cursor: str) -> int:
    """The number of an entry.

    Raises:
        InvalidCursorError: we never made that cursor.
    """
    match _decode(cursor):
        case [int(number)] if 0 <= number < 2**63:
            return number
    raise InvalidCursorError


def _decode(cursor: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursorError from error
