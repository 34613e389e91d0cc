"""One call of the old contract, with what its handler may ask for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from compat.adapters import StatusText
from compat.diff import Answer
from compat.legacy_json import PageError, Reply
from compat.settings import DualSettings
from fastapi_app.factory import Services
from fastapi_app.leaving import ClientLeftError
from legacy_flask.inputs import InputError

# Werkzeug's words; the contract suite compares them with the old daemon's.
NO_JSON = (
    "Did not attempt to load JSON data because the request Content-Type was not"
    " &#39;application/json&#39;."
)
TOO_LARGE = "The data value transmitted exceeds the capacity limit."
BROKEN = "The browser (or proxy) sent a request that this server could not understand."


@dataclass(slots=True)
class Recorded:
    """What the old stack did for a call, and what the new one would have done.

    `marks` are what it noted of itself (`run_id`: the run it started). `planned` and `did` are to
    be the same. `lost` says that what it did was removed since: there is nothing to compare.
    """

    answer: Answer
    marks: Mapping[str, str]
    planned: Mapping[str, object] | None = None
    did: Mapping[str, object] | None = None
    lost: bool = False

    def field(self, name: str) -> str:
        """A text of the answer's object; "" when it has none."""
        try:
            value = json.loads(self.answer.body).get(name)
        except (ValueError, AttributeError, RecursionError):
            return ""
        return value if isinstance(value, str) else ""


@dataclass(slots=True)  # frozen ones cost twice as much to make, and one is made for each call
class Call:
    """A request, the services, and what writes the answer of `/status`."""

    services: Services
    settings: DualSettings
    status_text: StatusText
    scope: Scope
    receive: Receive
    parameters: Mapping[str, str]

    endpoints: Sequence[str]
    """Every route of the contract, for `GET /`."""

    recorded: Recorded | None = None
    """For a rehearsal: what the old stack has done already."""

    def query(self, key: str) -> str | None:
        """The first value of a query parameter, decoded as Werkzeug decodes it."""
        raw: bytes = self.scope["query_string"]
        if not raw:
            return None
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="replace")
        return next((value for name, value in pairs if name == key), None)

    async def json_object(self) -> dict[str, Any]:
        """The body, read as Flask's `get_json` does.

        Raises:
            PageError: 415, 413 or 400, as Flask would.
            InputError: it is JSON, but no object.
            ClientLeftError: the client left in the middle of it.
        """
        if not _is_json(last_header(self.scope, b"content-type")):
            raise PageError(415, NO_JSON)
        body = await read_body(self.scope, self.receive, self.settings.max_body_bytes)
        if body is None:
            raise PageError(413, TOO_LARGE)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise PageError(400, BROKEN) from error
        if not isinstance(value, dict):
            raise InputError("JSON object required")
        return value


Handler = Callable[[Call], Awaitable[Reply]]


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The whole body; `None` when it is larger than `limit` bytes.

    Raises:
        ClientLeftError: the client left before its end.
    """
    announced = header(scope, b"content-length")
    if announced.isdigit() and int(announced) > limit:
        return None
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that name, or `b""`."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def last_header(scope: Scope, name: bytes) -> bytes:
    """The last header of that name, or `b""`."""
    return next((value for key, value in reversed(scope["headers"]) if key == name), b"")


def _is_json(content_type: bytes) -> bool:
    mimetype = content_type.decode("latin-1").split(";", 1)[0].strip(" \t").lower()
    return mimetype == "application/json" or (
        mimetype.startswith("application/") and mimetype.endswith("+json")
    )
