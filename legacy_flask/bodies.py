"""Request bodies, read as JSON objects."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from legacy_flask.inputs import InputError


def json_object() -> dict[str, Any]:
    """Read the body; Flask's own 400, 413 or 415 where it does not hold JSON."""
    _check_whole()
    try:
        body = request.get_json()
    except RecursionError as error:
        raise BadRequest from error
    if not isinstance(body, dict):
        raise InputError("JSON object required")
    return body


def _check_whole() -> None:
    """Refuse a chunked body over the limit, which werkzeug would cut there without a word."""
    chunked = request.content_length is None and request.environ.get("wsgi.input_terminated")
    if chunked and request.is_json:
        request.get_data()
        if request.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
