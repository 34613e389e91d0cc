"""Bytes as Flask writes them: `jsonify` in production mode, and the HTML of its errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the old contract; a body in pieces is sent as it comes.

    `retry_after` is seconds after which a client may try again.
    """

    status: int
    body: bytes | AsyncIterator[bytes]
    content_type: bytes = JSON
    retry_after: int | None = None


def dumps(value: object) -> bytes:
    """Sorted keys, compact separators, ASCII escapes, a final newline."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def reply(**fields: object) -> Reply:
    """200 with an object."""
    return Reply(200, dumps(fields))


def error(status: int, message: str) -> Reply:
    """The old contract's `{"error": …}`."""
    return Reply(status, dumps({"error": message}))


class PageError(Exception):
    """An error that Flask raises itself, with its HTML page."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        title = HTTPStatus(status).phrase
        page = (
            f"<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n"
            f"<h1>{title}</h1>\n<p>{text}</p>\n"
        )
        self.reply = Reply(status, page.encode(), HTML)


def reply_in_pieces(fields: Mapping[str, object], long_texts: Mapping[str, Iterator[str]]) -> Reply:
    """200 with an object some of whose texts are too long to hold in memory."""
    return Reply(200, _object_in_pieces({**fields, **long_texts}, set(long_texts)))


async def _object_in_pieces(fields: Mapping[str, Any], long: set[str]) -> AsyncIterator[bytes]:
    opening = b"{"
    for key in sorted(fields):
        yield opening + json.dumps(key).encode() + b":"
        opening = b","
        if key not in long:
            yield dumps(fields[key])[:-1]
            continue
        yield b'"'
        for text in fields[key]:
            yield json.dumps(text)[1:-1].encode("ascii")
        yield b'"'
    yield b"}\n"
