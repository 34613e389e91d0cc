"""Stored commands, to read."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from legacy_flask import inputs, views
from legacy_flask.services import UnknownError, services

blueprint = Blueprint("commands", __name__)


@blueprint.get("/commands")
def list_commands() -> Response:
    """All active commands, or with `all=true` the others too."""
    rows = services().commands.list(inactive_too=inputs.is_true(request.args.get("all")))
    return jsonify(commands=[views.command(row) for row in rows], total=len(rows))


@blueprint.get("/commands/<id>")
def get_command(id: str) -> Response:  # noqa: A002 - the contract's word
    """One command with its code."""
    row = services().commands.get(id) if inputs.is_storable(id) else None
    if row is None:
        raise UnknownError("Command not found")
    return jsonify(views.command(row) | {"code": row.code})
